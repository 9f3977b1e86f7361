internal import Glibc

/// Which file a path names at the moment: the same for two paths only if they name one file.
struct FileIdentity: Sendable, Hashable {
  private let device: UInt
  private let inode: UInt

  /// Nil when the path names nothing that can be looked at.
  init?(path: String) {
    var status = stat()
    guard stat(path, &status) == 0 else { return nil }
    device = UInt(status.st_dev)
    inode = UInt(status.st_ino)
  }
}
