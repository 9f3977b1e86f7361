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
  /// - Parameter byteLimit: the most that one file holds; who delivers reads no more.
  /// - Returns: the paths of the files.
  /// - Throws: `CommandError`; then nothing is kept.
  func keep(
    _ envelopes: [[UInt8]], byteLimit: Int = TextInput.byteLimit
  ) throws(CommandError) -> [String] {
    var paths: [String] = []
    do throws(CommandError) {
      var from = 0
      var bytes = 0
      for (at, envelope) in envelopes.enumerated() {
        if at > from, bytes + envelope.count + 1 > byteLimit {
          paths.append(try keepTogether(envelopes[from..<at]))
          from = at
          bytes = 0
        }
        bytes += envelope.count + 1
      }
      paths.append(try keepTogether(envelopes[from...]))
    } catch {
      for path in paths { unlink(path) }
      throw error
    }
    return paths
  }

  private func keepTogether(_ envelopes: ArraySlice<[UInt8]>) throws(CommandError) -> String {
    let path = "\(folder)/\(try nextName())"
    // 0640, for whoever delivers may be another user of the folder's group.
    do throws(WholeFile.Failure) {
      try WholeFile.write(
        Array(envelopes.joined(separator: [UInt8(ascii: "\n")])) + [UInt8(ascii: "\n")], to: path)
    } catch {
      throw refusal(error.code)
    }
    return path
  }

  /// Microseconds since 1970, and later than any name that is there: a clock that was set back changes no order.
  private func nextName() throws(CommandError) -> String {
    let last = try files().compactMap(Self.number).max() ?? 0
    let now = Int(Date().timeIntervalSince1970 * 1e6)
    let digits = String(max(now, last + 1))
    guard digits.count <= Self.digits else {
      throw CommandError(
        .unavailable,
        "no name comes after that of \(folder)/\(last)\(Self.ending); deliver it first, or rename it"
      )
    }
    return String(repeating: "0", count: Self.digits - digits.count) + digits + Self.ending
  }

  private static let digits = 18

  /// nil for a name that somebody else chose.
  private static func number(_ path: String) -> Int? {
    let name = URL(filePath: path).lastPathComponent.dropLast(ending.count)
    let isOurs = name.utf8.count == digits && name.utf8.allSatisfy { (0x30...0x39).contains($0) }
    return isOurs ? Int(name) : nil
  }

  /// Takes a file that holds no batches out of the way; it stays for a person to look at.
  func setAside(_ path: String) throws(CommandError) {
    guard rename(path, path + Self.badEnding) == 0 else {
      throw CommandError(
        .unavailable,
        "\(path) holds no batches and cannot be renamed: \(String(cString: strerror(errno))); move it away"
      )
    }
  }

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
