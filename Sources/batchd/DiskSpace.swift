internal import Queue

#if canImport(Glibc)
  internal import Glibc
#elseif canImport(Musl)
  internal import Musl
#else
  internal import Darwin
#endif

/// What is left of the file system that a path lies on.
enum DiskSpace {
  /// Less is a reason to look: logs and databases grow, and what cannot be written waits.
  static let leastBytes = 512 << 20

  /// Bytes that this user may still write; nil when nobody can say.
  static func free(at path: String) -> Int? {
    var status = statvfs()
    guard statvfs(path, &status) == 0 else { return nil }
    return Int(
      clamping: UInt64(status.f_bavail).multipliedReportingOverflow(by: UInt64(status.f_frsize))
        .partialValue)
  }

  /// `59 GiB`, `512 MiB`, `68 KiB`
  static func text(_ bytes: Int) -> String {
    switch bytes {
    case (10 << 30)...: "\(bytes >> 30) GiB"
    case (10 << 20)...: "\(bytes >> 20) MiB"
    default: "\(bytes >> 10) KiB"
    }
  }

  /// The folder that a file lies in, or will.
  static func folder(of path: String) -> String {
    path.lastIndex(of: "/").map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? "."
  }
}

/// The disk of a Redis on this host.
enum RedisDisk {
  /// Whether it has room for its append-only file, which is written anew beside the old one.
  /// - Parameter info: of `Control.info()`.
  /// - Returns: nothing when Redis is elsewhere, or its process not this user's to look at.
  static func findings(_ info: [String: String], url: String) -> [Finding] {
    let isHere = ["unix:", "//127.", "//localhost", "//[::1]", "@127.", "@localhost"]
      .contains(where: url.contains)
    guard isHere, let pid = info["process_id"],
      let program = try? TextFile.text(of: "/proc/\(pid)/comm", byteLimit: 100),
      ["redis", "valkey"].contains(where: program.contains),
      // Where its working directory is, its files are.
      let free = DiskSpace.free(at: "/proc/\(pid)/cwd/.")
    else { return [] }
    let needed = max(DiskSpace.leastBytes, info["used_memory"].flatMap { Int($0) } ?? 0)
    guard free < needed else { return [] }
    return [
      Finding(
        "redis",
        "its disk has \(DiskSpace.text(free)) left, which the next rewrite of its files may fill",
        remedy: "make room: a Redis that cannot write refuses all work")
    ]
  }
}
