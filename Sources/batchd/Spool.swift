internal import Foundation

#if canImport(Glibc)
  internal import Glibc
#elseif canImport(Musl)
  internal import Musl
#else
  internal import Darwin
#endif

/// A folder that keeps batches while Redis is away. Each file holds one or more envelopes, one a line; the order of their
/// names is that in which they came. Whoever writes or delivers holds a lock on the folder.
struct Spool: Sendable {
  /// Of files with batches; others are left alone.
  static let ending = ".batches"
  /// Appended to the name of a file that holds something else.
  static let badEnding = ".bad"

  let folder: String

  /// - Throws: `CommandError` when it is no folder that this user can use.
  init(_ folder: String) throws(CommandError) {
    self.folder = folder
    let descriptor = try opened()
    close(descriptor)
    guard access(folder, W_OK | X_OK) == 0 else { throw refusal(errno) }
  }

  /// Runs `body` while nobody else writes here or delivers from here.
  func locked<T>(_ body: () async throws -> T) async throws -> T {
    let descriptor = try opened()
    // The kernel gives the lock back with the descriptor, however the process ends.
    defer { close(descriptor) }
    while flock(descriptor, LOCK_EX | LOCK_NB) != 0 {
      guard errno == EWOULDBLOCK || errno == EINTR else { throw refusal(errno) }
      try await Task.sleep(for: .milliseconds(20))
    }
    return try await body()
  }

  /// Paths of the files with batches, the oldest first.
  func files() throws(CommandError) -> [String] {
    do {
      return try FileManager.default.contentsOfDirectory(atPath: folder)
        .filter { $0.hasSuffix(Self.ending) && !$0.hasPrefix(".") }.sorted()
        .map { "\(folder)/\($0)" }
    } catch {
      throw CommandError(
        .unavailable, "cannot use the spool \(folder): \(error.localizedDescription)")
    }
  }

  /// Keeps envelopes: when this returns, they outlive a crash of the machine. Under the lock only.
  /// - Returns: the path of the file.
  /// - Throws: `CommandError`; then nothing is kept.
  func keep(_ envelopes: [[UInt8]]) throws(CommandError) -> String {
    let path = "\(folder)/\(try nextName())"
    // Hidden, so that nobody takes it for whole.
    let temporary = "\(folder)/.\(UUID().uuidString)"
    do throws(CommandError) {
      try save(envelopes, to: temporary)
      guard rename(temporary, path) == 0 else { throw refusal(errno) }
    } catch {
      unlink(temporary)
      throw error
    }
    let descriptor = try opened()
    defer { close(descriptor) }
    guard fsync(descriptor) == 0 else {
      let code = errno
      unlink(path)
      throw refusal(code)
    }
    return path
  }

  private func save(_ envelopes: [[UInt8]], to path: String) throws(CommandError) {
    // Whoever delivers may be another user of the folder's group; the umask may take that back.
    let descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o640)
    guard descriptor >= 0 else { throw refusal(errno) }
    defer { close(descriptor) }
    var bytes: [UInt8] = []
    for envelope in envelopes { bytes += envelope + [UInt8(ascii: "\n")] }
    var written = 0
    while written < bytes.count {
      let count = bytes[written...].withUnsafeBytes {
        write(descriptor, $0.baseAddress, $0.count)
      }
      if count < 0, errno == EINTR { continue }
      guard count >= 0 else { throw refusal(errno) }
      written += count
    }
    guard fsync(descriptor) == 0 else { throw refusal(errno) }
  }

  /// Microseconds since 1970, and later than any name that is there: a clock that was set back changes no order.
  private func nextName() throws(CommandError) -> String {
    let last = try files().last.map { URL(filePath: $0).lastPathComponent } ?? ""
    let least = Int(last.prefix { $0.isNumber }) ?? 0
    let now = Int(Date().timeIntervalSince1970 * 1e6)
    let digits = String(max(now, least + 1))
    return String(repeating: "0", count: max(0, 18 - digits.count)) + digits + Self.ending
  }

  /// Takes a file that holds no batches out of the way; it stays for a person to look at.
  func setAside(_ path: String) { rename(path, path + Self.badEnding) }

  private func opened() throws(CommandError) -> Int32 {
    let descriptor = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0)
    guard descriptor >= 0 else { throw refusal(errno) }
    return descriptor
  }

  private func refusal(_ code: Int32) -> CommandError {
    let hint = code == ENOENT ? "; make it: mkdir -m 2770 \(folder)" : ""
    return CommandError(
      .unavailable, "cannot use the spool \(folder): \(String(cString: strerror(code)))\(hint)")
  }
}
