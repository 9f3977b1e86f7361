#if canImport(Glibc)
  internal import Glibc
#elseif canImport(Musl)
  internal import Musl
#else
  internal import Darwin
#endif

/// Reads small text files, bounded, with the system's own words for what went wrong.
enum TextFile {
  /// Why a file could not be read.
  struct Failure: Error {
    let reason: String
  }

  /// The content of the file.
  /// - Throws: `Failure` when it cannot be opened or read, is over `byteLimit` or not UTF-8.
  static func text(of path: String, byteLimit: Int) throws(Failure) -> String {
    // Non-blocking, so that a FIFO named by mistake is an empty file and not a process that hangs.
    let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    guard descriptor >= 0 else { throw failure(errno) }
    defer { close(descriptor) }
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 16_384)
    while true {
      let count = chunk.withUnsafeMutableBytes { read(descriptor, $0.baseAddress, $0.count) }
      if count < 0 && errno == EINTR { continue }
      if count < 0 { throw failure(errno) }
      if count == 0 { break }
      bytes += chunk[..<count]
      guard bytes.count <= byteLimit else { throw Failure(reason: "is over \(byteLimit) bytes") }
    }
    guard let text = String(validating: bytes, as: UTF8.self) else {
      throw Failure(reason: "is not text in UTF-8")
    }
    return text
  }

  private static func failure(_ code: Int32) -> Failure {
    Failure(reason: String(cString: strerror(code)))
  }
}
