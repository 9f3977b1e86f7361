import Logging

/// Takes a command's standard error: line by line to the log, its end for the error message.
struct ErrorLog {
  /// Bytes of one call that go to the log: a command that says the same without end shall not fill it.
  static let loggedBytes = 1 << 16
  static let lineBytes = 1_024
  /// What a line counts at least: a log entry is larger than its text.
  static let leastBytes = 64
  static let tailBytes = 1_024

  private let logger: Logger
  private var left = ErrorLog.loggedBytes
  private var line: [UInt8] = []
  private var last: [UInt8] = []

  init(_ logger: Logger) { self.logger = logger }

  /// The end of all that was written, from the beginning of a line if one is in it.
  var tail: String {
    var bytes = last.suffix(Self.tailBytes)
    if last.count > Self.tailBytes, let end = bytes.firstIndex(of: 10), end + 1 < bytes.endIndex {
      bytes = bytes[(end + 1)...]
    }
    return String(decoding: bytes, as: UTF8.self).split(separator: "\n")
      .map { $0.printable(Self.tailBytes) }.joined(separator: "\n")
  }

  mutating func write(_ bytes: [UInt8]) {
    last += bytes.suffix(Self.tailBytes + 1)
    if last.count > 4 * Self.tailBytes { last.removeFirst(last.count - Self.tailBytes - 1) }
    var rest = bytes[...]
    while left > 0, !rest.isEmpty {
      // A longer line goes to the log in pieces.
      let piece = rest.prefix(Self.lineBytes - line.count)
      let end = piece.firstIndex(of: UInt8(ascii: "\n"))
      line += piece[..<(end ?? piece.endIndex)]
      rest = rest[(end.map { $0 + 1 } ?? piece.endIndex)...]
      if end != nil || line.count == Self.lineBytes { flush() }
    }
  }

  /// Writes what is left of a line without an end.
  mutating func flush() {
    guard left > 0, !line.isEmpty else { return }
    left -= max(line.count, Self.leastBytes)
    let text = String(decoding: line, as: UTF8.self).printable(Self.lineBytes)
    logger.info("stderr", metadata: ["text": "\(text)"])
    line.removeAll(keepingCapacity: true)
    if left <= 0 {
      logger.info(
        "stderr goes on; not logged",
        metadata: ["limit_bytes": .stringConvertible(Self.loggedBytes)])
    }
  }
}
