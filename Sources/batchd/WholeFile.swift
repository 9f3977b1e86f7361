internal import Foundation
internal import Glibc

/// A file that is either not there or whole, also after a crash of the machine.
enum WholeFile {
  struct Failure: Error {
    let path: String
    let code: Int32

    var reason: String { String(cString: strerror(code)) }
  }

  /// Makes or replaces `path`, for its owner and group alone (0640), whatever the umask says. When this returns, the file
  /// and its name are on the disk; when it throws, the name is as it was, or gone.
  static func write(
    _ bytes: [UInt8], to path: String, owner: (user: uid_t, group: gid_t)? = nil
  ) throws(Failure) {
    let folder = URL(filePath: path).deletingLastPathComponent().path
    // Hidden, so that nobody takes it for whole.
    let temporary = "\(folder)/.\(UUID().uuidString)"
    do throws(Failure) {
      try save(bytes, to: temporary, owner)
      guard rename(temporary, path) == 0 else { throw Failure(path: path, code: errno) }
    } catch {
      unlink(temporary)
      throw error
    }
    let descriptor = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0)
    guard descriptor >= 0 else { throw Failure(path: folder, code: errno) }
    defer { close(descriptor) }
    guard fsync(descriptor) == 0 else {
      let code = errno
      unlink(path)
      throw Failure(path: folder, code: code)
    }
  }

  private static func save(
    _ bytes: [UInt8], to path: String, _ owner: (user: uid_t, group: gid_t)?
  ) throws(Failure) {
    let descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o640)
    guard descriptor >= 0 else { throw Failure(path: path, code: errno) }
    defer { close(descriptor) }
    if let owner { _ = fchown(descriptor, owner.user, owner.group) }
    guard fchmod(descriptor, 0o640) == 0 else { throw Failure(path: path, code: errno) }
    var written = 0
    while written < bytes.count {
      let count = bytes[written...].withUnsafeBytes {
        posixWrite(descriptor, $0.baseAddress, $0.count)
      }
      if count < 0, errno == EINTR { continue }
      guard count >= 0 else { throw Failure(path: path, code: errno) }
      written += count
    }
    guard fsync(descriptor) == 0 else { throw Failure(path: path, code: errno) }
  }
}
