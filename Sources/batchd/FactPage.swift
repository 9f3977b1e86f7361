/// A page of named facts: the names in a column of their own, and long texts wrapped beside them, for a remedy that is cut off
/// helps nobody.
struct FactPage {
  private var lines: [(name: String, text: String, style: StyledLine.Style)] = []
  private static let nameWidth = 10
  private static let leastWidth = 30

  /// A fact without a name goes on with the one before it.
  mutating func add(_ name: String, _ text: String, _ style: StyledLine.Style = .plain) {
    lines.append((name, text, style))
  }

  /// - Parameter width: the terminal's columns; nil wraps nothing.
  func lines(width: Int?) -> [StyledLine] {
    let room = width.map { max($0 - Self.nameWidth, Self.leastWidth) }
    return lines.flatMap { fact in
      Self.wrapped(fact.text, room).enumerated().map { at, part in
        StyledLine(Columns.padded(at == 0 ? fact.name : "", Self.nameWidth), .dim)
          + StyledLine(part, fact.style)
      }
    }
  }

  private static func wrapped(_ text: String, _ room: Int?) -> [String] {
    guard let room, Columns.width(text) > room else { return [text] }
    var lines: [String] = []
    var line = ""
    for word in text.split(separator: " ", omittingEmptySubsequences: false) {
      if !line.isEmpty && Columns.width(line) + 1 + Columns.width(String(word)) > room {
        lines.append(line)
        line = "  " + word
      } else {
        line += line.isEmpty ? String(word) : " " + word
      }
    }
    return lines + [line]
  }
}
