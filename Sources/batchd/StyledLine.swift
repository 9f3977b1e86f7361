/// One line for a terminal: pieces of text with a style, cut to the width before colors make its length unreadable.
struct StyledLine: Equatable, ExpressibleByStringInterpolation {
  enum Style: String {
    case plain = ""
    case bold = "1"
    case dim = "2"
    case red = "31"
    case green = "32"
    case yellow = "33"
    case cyan = "36"
  }

  private struct Piece: Equatable {
    let text: String
    let style: Style
  }

  private var pieces: [Piece]

  init(_ text: String, _ style: Style = .plain) {
    pieces = [Piece(text: Self.harmless(text), style: style)]
  }

  init(stringLiteral text: String) { self.init(text) }

  static func + (left: StyledLine, right: StyledLine) -> StyledLine {
    var line = left
    line.pieces += right.pieces
    return line
  }

  static func += (left: inout StyledLine, right: StyledLine) { left = left + right }

  /// Columns that it takes.
  var width: Int { pieces.reduce(0) { $0 + Columns.width($1.text) } }

  /// - Parameter width: the columns there are; nil leaves the line as long as it is.
  func text(width: Int?, hasColor: Bool) -> String {
    let line = width.map(cut) ?? self
    return line.pieces.reduce(into: "") { text, piece in
      text +=
        hasColor && piece.style != .plain && !piece.text.isEmpty
        ? "\u{1B}[\(piece.style.rawValue)m\(piece.text)\u{1B}[0m" : piece.text
    }
  }

  /// The line with at most so many columns.
  func cut(to width: Int) -> StyledLine {
    guard self.width > width else { return self }
    var line: StyledLine = ""
    var left = width - 1
    for piece in pieces where left > 0 {
      let shown = Columns.prefix(piece.text, left)
      // What did not fit was the end of the line, even if a column is left that it does not fill.
      left = shown == piece.text ? left - Columns.width(shown) : 0
      line += StyledLine(shown, piece.style)
    }
    return line + "…"
  }

  /// As many lines of at most `width` columns as it takes.
  func wrapped(width: Int) -> [StyledLine] {
    guard self.width > width, width > 1 else { return [self] }
    var lines: [StyledLine] = [""]
    var left = width
    for piece in pieces {
      var rest = piece.text[...]
      while !rest.isEmpty {
        let part = Columns.prefix(String(rest), left)
        if part.isEmpty {
          lines.append("")
          left = width
          continue
        }
        lines[lines.count - 1] += StyledLine(part, piece.style)
        left -= Columns.width(part)
        rest = rest.dropFirst(part.count)
      }
    }
    return lines
  }

  /// As it goes into a file or a pipe: whole and without colors.
  var plainText: String { text(width: nil, hasColor: false) }

  /// Errors quote what services answered: a control character must not reach the terminal, nor one that draws what
  /// stands beside it together or apart, of which every terminal has its own opinion.
  private static func harmless(_ text: String) -> String {
    let isControl = { (scalar: Unicode.Scalar) in
      scalar.properties.generalCategory == .control || scalar.properties.generalCategory == .format
        || scalar.properties.isVariationSelector
    }
    guard text.unicodeScalars.contains(where: isControl) else { return text }
    return String(
      String.UnicodeScalarView(text.unicodeScalars.map { isControl($0) ? " " : $0 }))
  }
}
