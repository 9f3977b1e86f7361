/// The line of every key in a TOML text that TOMLKit has accepted; TOMLKit does not tell.
///
/// The scan relies on the text being valid: it only has to know where keys, strings and brackets are.
struct KeyLines {
  private var lines: [[String]: Int] = [:]
  private var bytes: ArraySlice<UInt8>
  private var line = 1

  init(_ text: String) {
    bytes = Array(text.utf8)[...]
    var table: [String] = []
    while skipBlanks() {
      if bytes.first == UInt8(ascii: "[") {
        while bytes.first == UInt8(ascii: "[") { bytes.removeFirst() }
        table = record(key(), under: [])
        while bytes.first == UInt8(ascii: "]") { bytes.removeFirst() }
      } else {
        pair(under: table)
      }
    }
  }

  /// The line, from 1, where `path` or else the nearest table around it first stands.
  func line(of path: [String]) -> Int? {
    var path = path
    while !path.isEmpty {
      if let line = lines[path] { return line }
      path.removeLast()
    }
    return nil
  }

  /// Whether the key itself stands in the text.
  func contains(_ path: [String]) -> Bool { lines[path] != nil }

  private mutating func record(_ key: [String], under table: [String]) -> [String] {
    var path = table
    for part in key {
      path.append(part)
      if lines[path] == nil { lines[path] = line }
    }
    return path
  }

  private mutating func pair(under table: [String]) {
    let path = record(key(), under: table)
    if bytes.first == UInt8(ascii: "=") { bytes.removeFirst() }
    value(of: path)
  }

  /// A key, dotted or not; stops behind it and the blanks that follow.
  private mutating func key() -> [String] {
    var parts: [String] = []
    while true {
      skipSpaces()
      if let quote = bytes.first, quote == UInt8(ascii: "\"") || quote == UInt8(ascii: "'") {
        parts.append(string(quote))
      } else {
        let bare = bytes.prefix { !" \t.=]\r\n".utf8.contains($0) }
        parts.append(String(decoding: bare, as: UTF8.self))
        bytes = bytes.dropFirst(bare.count)
      }
      skipSpaces()
      guard bytes.first == UInt8(ascii: ".") else { return parts }
      bytes.removeFirst()
    }
  }

  private mutating func value(of path: [String]) {
    guard skipBlanks(), let first = bytes.first else { return }
    switch first {
    case UInt8(ascii: "\""), UInt8(ascii: "'"):
      _ = string(first)
    case UInt8(ascii: "["):
      bytes.removeFirst()
      while skipBlanks(alsoCommas: true), bytes.first != UInt8(ascii: "]") { value(of: path) }
      bytes = bytes.dropFirst()
    case UInt8(ascii: "{"):
      bytes.removeFirst()
      while skipBlanks(alsoCommas: true), bytes.first != UInt8(ascii: "}") { pair(under: path) }
      bytes = bytes.dropFirst()
    default:
      // At least one byte, so that no text, however odd, stops the scan.
      bytes.removeFirst()
      bytes = bytes.drop { !",]}#\n".utf8.contains($0) }
    }
  }

  /// Reads a string that begins with `quote`, of one line or of many; escapes stay as they are.
  private mutating func string(_ quote: UInt8) -> String {
    let long = bytes.starts(with: [quote, quote, quote])
    let end = Array(repeating: quote, count: long ? 3 : 1)
    bytes = bytes.dropFirst(end.count)
    var content: [UInt8] = []
    while let byte = bytes.first, !bytes.starts(with: end) {
      let isEscape = byte == UInt8(ascii: "\\") && quote == UInt8(ascii: "\"")
      for byte in bytes.prefix(isEscape ? 2 : 1) {
        if byte == UInt8(ascii: "\n") { line += 1 }
        content.append(byte)
      }
      bytes = bytes.dropFirst(isEscape ? 2 : 1)
    }
    bytes = bytes.dropFirst(end.count)
    // A long string may end in up to five quotes; the last three close it.
    while long, bytes.first == quote { bytes.removeFirst() }
    return String(decoding: content, as: UTF8.self)
  }

  private mutating func skipSpaces() {
    bytes = bytes.drop { $0 == UInt8(ascii: " ") || $0 == UInt8(ascii: "\t") }
  }

  /// Skips blanks, line ends and comments; false at the end of the text.
  private mutating func skipBlanks(alsoCommas: Bool = false) -> Bool {
    while let byte = bytes.first {
      switch byte {
      case UInt8(ascii: "\n"): line += 1
      case UInt8(ascii: "#"):
        bytes = bytes.drop { $0 != UInt8(ascii: "\n") }
        continue
      case UInt8(ascii: " "), UInt8(ascii: "\t"), UInt8(ascii: "\r"): break
      case UInt8(ascii: ",") where alsoCommas: break
      default: return true
      }
      bytes.removeFirst()
    }
    return false
  }
}
