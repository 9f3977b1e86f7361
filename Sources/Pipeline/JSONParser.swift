/// Reads one JSON text (RFC 8259) in time that grows with its bytes alone. Foundation's decoder, asked for a value
/// of any type, throws and catches an error for each type that it is not, each as long as the way to the
/// value: 1 KB of brackets took 2 s, and an entry of 1 MiB stopped admission for 22 s.
struct JSONParser {
  struct Failure: Error {}

  /// Foundation's limit, and far below what the stack takes.
  static let depthLimit = 512

  private let bytes: [UInt8]
  private var at = 0
  private var depth = 0

  /// - Throws: `Failure` when `bytes` is not one JSON text in UTF-8.
  static func parse(_ bytes: [UInt8]) throws(Failure) -> JSON {
    var parser = JSONParser(bytes: bytes)
    // A byte order mark is no part of the text.
    if bytes.starts(with: [0xEF, 0xBB, 0xBF]) { parser.at = 3 }
    let value = try parser.value()
    guard parser.next() == nil else { throw Failure() }
    return value
  }

  private init(bytes: [UInt8]) { self.bytes = bytes }

  private var current: UInt8? { at < bytes.count ? bytes[at] : nil }

  /// Skips white space; the byte after it, still to be read.
  private mutating func next() -> UInt8? {
    while let byte = current, byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 {
      at += 1
    }
    return current
  }

  private mutating func expect(_ byte: Character) throws(Failure) {
    guard next() == byte.asciiValue else { throw Failure() }
    at += 1
  }

  private mutating func value() throws(Failure) -> JSON {
    switch next() {
    case UInt8(ascii: "{"): return .object(try nested(Self.members))
    case UInt8(ascii: "["): return .array(try nested(Self.elements))
    case UInt8(ascii: "\""): return .string(try string())
    case UInt8(ascii: "t"): return try word("true", .bool(true))
    case UInt8(ascii: "f"): return try word("false", .bool(false))
    case UInt8(ascii: "n"): return try word("null", .null)
    default: return try number()
    }
  }

  private mutating func nested<Value>(
    _ body: (inout JSONParser) throws(Failure) -> Value
  ) throws(Failure) -> Value {
    guard depth < Self.depthLimit else { throw Failure() }
    at += 1
    depth += 1
    defer { depth -= 1 }
    return try body(&self)
  }

  private static func members(_ parser: inout JSONParser) throws(Failure) -> [String: JSON] {
    var members: [String: JSON] = [:]
    guard parser.next() != UInt8(ascii: "}") else { return parser.end(members) }
    while true {
      guard parser.next() == UInt8(ascii: "\"") else { throw Failure() }
      let key = try parser.string()
      try parser.expect(":")
      let value = try parser.value()
      // Of a key that stands twice, the first.
      if members[key] == nil { members[key] = value }
      guard parser.next() == UInt8(ascii: ",") else { break }
      parser.at += 1
    }
    try parser.expect("}")
    return members
  }

  private static func elements(_ parser: inout JSONParser) throws(Failure) -> [JSON] {
    var elements: [JSON] = []
    guard parser.next() != UInt8(ascii: "]") else { return parser.end(elements) }
    while true {
      elements.append(try parser.value())
      guard parser.next() == UInt8(ascii: ",") else { break }
      parser.at += 1
    }
    try parser.expect("]")
    return elements
  }

  private mutating func end<Value>(_ empty: Value) -> Value {
    at += 1
    return empty
  }

  private mutating func word(_ text: StaticString, _ value: JSON) throws(Failure) -> JSON {
    let end = at + text.utf8CodeUnitCount
    let matches = text.withUTF8Buffer { end <= bytes.count && bytes[at..<end].elementsEqual($0) }
    guard matches else { throw Failure() }
    at = end
    return value
  }

  private mutating func digits() throws(Failure) {
    let start = at
    while let byte = current, (48...57).contains(byte) { at += 1 }
    guard at > start else { throw Failure() }
  }

  private mutating func number() throws(Failure) -> JSON {
    let start = at
    if current == UInt8(ascii: "-") { at += 1 }
    if current == UInt8(ascii: "0") { at += 1 } else { try digits() }
    if current == UInt8(ascii: ".") {
      at += 1
      try digits()
    }
    if current == UInt8(ascii: "e") || current == UInt8(ascii: "E") {
      at += 1
      if current == UInt8(ascii: "+") || current == UInt8(ascii: "-") { at += 1 }
      try digits()
    }
    let text = String(decoding: bytes[start..<at], as: UTF8.self)
    if let integer = Int64(text) { return .integer(integer) }
    guard let number = Double(text), number.isFinite else { throw Failure() }
    // 5.0 and 5e0 are 5: one value has one form, whoever wrote it.
    return Int64(exactly: number).map { .integer($0) } ?? .number(number)
  }

  private mutating func string() throws(Failure) -> String {
    at += 1
    var unescaped: [UInt8] = []
    var start = at
    while let byte = current {
      switch byte {
      case UInt8(ascii: "\""):
        let rest = bytes[start..<at]
        at += 1
        let text =
          unescaped.isEmpty
          ? String(validating: rest, as: UTF8.self)
          : String(validating: unescaped + rest, as: UTF8.self)
        guard let text else { throw Failure() }
        return text
      case UInt8(ascii: "\\"):
        unescaped += bytes[start..<at]
        at += 1
        unescaped += try escape()
        start = at
      case 0..<0x20: throw Failure()
      default: at += 1
      }
    }
    throw Failure()
  }

  private mutating func escape() throws(Failure) -> [UInt8] {
    guard let byte = current else { throw Failure() }
    at += 1
    switch byte {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): return [byte]
    case UInt8(ascii: "b"): return [0x08]
    case UInt8(ascii: "f"): return [0x0C]
    case UInt8(ascii: "n"): return [0x0A]
    case UInt8(ascii: "r"): return [0x0D]
    case UInt8(ascii: "t"): return [0x09]
    case UInt8(ascii: "u"): return try scalar()
    default: throw Failure()
    }
  }

  /// The UTF-8 of `\uXXXX`, or of a pair of them that UTF-16 needs.
  private mutating func scalar() throws(Failure) -> [UInt8] {
    let first = try codeUnit()
    var value = UInt32(first)
    if UTF16.isLeadSurrogate(first) {
      guard try word("\\u", .null) == .null else { throw Failure() }
      let second = try codeUnit()
      guard UTF16.isTrailSurrogate(second) else { throw Failure() }
      value = 0x10000 + (UInt32(first & 0x3FF) << 10) + UInt32(second & 0x3FF)
    }
    guard let scalar = Unicode.Scalar(value) else { throw Failure() }
    return Array(String(scalar).utf8)
  }

  private mutating func codeUnit() throws(Failure) -> UInt16 {
    let end = at + 4
    guard end <= bytes.count,
      bytes[at..<end].allSatisfy({ Character(Unicode.Scalar($0)).isHexDigit }),
      let unit = UInt16(String(decoding: bytes[at..<end], as: UTF8.self), radix: 16)
    else { throw Failure() }
    at = end
    return unit
  }
}
