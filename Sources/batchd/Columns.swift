/// How many columns of a terminal a text takes.
enum Columns {
  /// Two columns each, after Unicode's East Asian Width.
  private static let wide: [ClosedRange<UInt32>] = [
    0x1100...0x115F, 0x2E80...0x303E, 0x3041...0x33FF, 0x3400...0x4DBF, 0x4E00...0x9FFF,
    0xA000...0xA4CF, 0xA960...0xA97F, 0xAC00...0xD7A3, 0xF900...0xFAFF, 0xFE30...0xFE6F,
    0xFF00...0xFF60, 0xFFE0...0xFFE6, 0x17000...0x18CFF, 0x1B000...0x1B2FF, 0x20000...0x3FFFD,
  ]

  static func width(_ text: String) -> Int {
    // Nearly all texts.
    if text.utf8.allSatisfy({ $0 < 0x80 }) { return text.utf8.count }
    return text.unicodeScalars.reduce(0) { $0 + width($1) }
  }

  /// As much of the text as fits.
  static func prefix(_ text: String, _ columns: Int) -> String {
    var left = columns
    return String(
      text.prefix { character in
        left -= character.unicodeScalars.reduce(0) { $0 + width($1) }
        return left >= 0
      })
  }

  /// The text in exactly so many columns, cut with an ellipsis; as it is for none.
  static func padded(_ text: String, _ columns: Int, isRight: Bool = false) -> String {
    guard columns > 0 else { return text }
    let text = width(text) > columns ? prefix(text, columns - 1) + "…" : text
    let space = String(repeating: " ", count: columns - width(text))
    return isRight ? space + text : text + space
  }

  private static func width(_ scalar: Unicode.Scalar) -> Int {
    if scalar.value < 0x300 { return 1 }
    switch scalar.properties.generalCategory {
    case .nonspacingMark, .enclosingMark: return 0
    default: break
    }
    if scalar.properties.isEmojiPresentation { return 2 }
    return scalar.value >= 0x1100 && wide.contains { $0.contains(scalar.value) } ? 2 : 1
  }
}
