/// Finds what TOMLKit would not survive: in three places its parser (toml++ 3.0) asserts, and ends the process, where it
/// should report (found by fuzzing): a table's name that starts with a character that no bare key has, a `}` where a
/// value of an array belongs, and a date with a single digit behind it.
///
/// The scan is right up to the first mistake in the text, and no parser comes further.
struct TOMLGuard {
  private var bytes: ArraySlice<UInt8>
  private var line = 1
  /// Brackets and braces of values that are open: inside them a bracket begins no header.
  private var depth = 0
  /// The last byte that is no blank and no comment; 0 before the first.
  private var last: UInt8 = 0

  private init(_ text: String) { bytes = Array(text.utf8)[...] }

  /// The first such place: its line, from 1, and what is wrong with it.
  static func mistake(in text: String) -> (line: Int, text: String)? {
    var scan = TOMLGuard(text)
    while let byte = scan.bytes.first {
      if let mistake = scan.step(byte) { return (scan.line, mistake) }
    }
    return nil
  }

  private mutating func step(_ byte: UInt8) -> String? {
    switch byte {
    case UInt8(ascii: "\""), UInt8(ascii: "'"):
      skipText(byte)
      last = byte
      return nil
    case UInt8(ascii: "#"):
      bytes = bytes.drop { $0 != UInt8(ascii: "\n") }
      return nil
    // Blanks, and what TOMLKit takes for one or refuses: neither makes a difference to what follows.
    case ...UInt8(ascii: " ") where byte != UInt8(ascii: "\n"), 0x80...:
      bytes.removeFirst()
      return nil
    case UInt8(ascii: "\n"):
      line += 1
      bytes.removeFirst()
      return nil
    case UInt8(ascii: "[") where depth == 0 && last != UInt8(ascii: "="):
      return header()
    case UInt8(ascii: "}") where ",[".utf8.contains(last):
      return "\"}\" without a value before it"
    case UInt8(ascii: "0")...UInt8(ascii: "9") where "=,[".utf8.contains(last) && startsHalfTime:
      return "a date, and half a time"
    case UInt8(ascii: "["), UInt8(ascii: "{"): depth += 1
    case UInt8(ascii: "]"), UInt8(ascii: "}"): depth = max(depth - 1, 0)
    default: break
    }
    last = byte
    bytes.removeFirst()
    return nil
  }

  /// Ten characters, two of them where a date has its hyphens, a space, one digit, nothing more.
  private var startsHalfTime: Bool {
    let ends = Array(" \t\r\n\u{B}\u{C},]}#".utf8)
    let word = bytes.prefix { !ends.contains($0) }
    let date = word.filter { $0 != UInt8(ascii: "_") }
    let hyphen = UInt8(ascii: "-")
    guard date.count == 10, date[4] == hyphen, date[7] == hyphen else { return false }
    let rest = Array(bytes[word.endIndex...].prefix(3))
    guard rest.count >= 2, rest[0] == UInt8(ascii: " ") else { return false }
    return (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(rest[1])
      && (rest.count == 2 || rest[2] >= 0x80 || ends.contains(rest[2]))
  }

  private mutating func header() -> String? {
    last = UInt8(ascii: "[")
    bytes.removeFirst()
    if bytes.first == last { bytes.removeFirst() }
    bytes = bytes.drop { $0 == UInt8(ascii: " ") || $0 == UInt8(ascii: "\t") }
    // The end of a header without a name is a mistake that TOMLKit reports.
    guard let first = bytes.first, first != UInt8(ascii: "]") else { return nil }
    switch Unicode.Scalar(first) {
    case "A"..."Z", "a"..."z", "0"..."9", "_", "-", "\"", "'": return nil
    default: return "a table's name is letters, digits, _ and -, or in quotes"
    }
  }

  /// From its opening quote to behind the last one, or to the end of what it may span.
  private mutating func skipText(_ quote: UInt8) {
    let long = bytes.starts(with: [quote, quote, quote])
    bytes = bytes.dropFirst(long ? 3 : 1)
    while let byte = bytes.first, long || byte != UInt8(ascii: "\n") {
      if byte == UInt8(ascii: "\\"), quote == UInt8(ascii: "\"") { bytes.removeFirst() }
      if byte == quote, !long || bytes.starts(with: [quote, quote, quote]) {
        bytes = bytes.dropFirst(long ? 3 : 1)
        // A long text may end with quotes of its own.
        while long, bytes.first == quote { bytes.removeFirst() }
        return
      }
      if bytes.first == UInt8(ascii: "\n") { line += 1 }
      bytes = bytes.dropFirst()
    }
  }
}
