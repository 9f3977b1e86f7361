/// One word, string or symbol of a Lua text. Comments and blanks are none.
struct LuaToken {
  let text: String
  /// In bytes of the text.
  let range: Range<Int>

  static let keywords: Set<String> = [
    "and", "or", "not", "if", "elseif", "while", "then", "do", "return", "local", "end", "for",
    "else", "function", "break", "in", "repeat", "until",
  ]

  var isComparison: Bool { ["==", "~=", "<", ">", "<=", ">="].contains(text) }

  /// A name, a number or a string.
  var isWord: Bool { text.utf8.first.map { Self.isWord($0) || $0 == UInt8(ascii: "'") } ?? false }

  /// Cuts a text into its tokens. Long strings and long comments do not occur in the library.
  static func all(in bytes: [UInt8]) -> [LuaToken] {
    var tokens: [LuaToken] = []
    var at = 0
    while at < bytes.count {
      let length = Self.length(bytes, at)
      let isComment = bytes[at...].starts(with: "--".utf8)
      if !isComment && bytes[at] > 32 {
        let range = at..<at + length
        tokens.append(LuaToken(text: String(decoding: bytes[range], as: UTF8.self), range: range))
      }
      at += length
    }
    return tokens
  }

  private static func length(_ bytes: [UInt8], _ at: Int) -> Int {
    let first = bytes[at]
    let rest = bytes[(at + 1)...]
    if bytes[at...].starts(with: "--".utf8) {
      return 1 + rest.prefix { $0 != UInt8(ascii: "\n") }.count
    }
    if first == UInt8(ascii: "'") || first == UInt8(ascii: "\"") {
      var end = at + 1
      while bytes[end] != first { end += bytes[end] == UInt8(ascii: "\\") ? 2 : 1 }
      return end + 1 - at
    }
    if isWord(first) { return 1 + rest.prefix { isWord($0) || $0 == UInt8(ascii: ".") }.count }
    let isPair = ["==", "~=", "<=", ">=", ".."].contains { bytes[at...].starts(with: $0.utf8) }
    return isPair ? 2 : 1
  }

  private static func isWord(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
      UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"):
      true
    default: false
    }
  }
}
