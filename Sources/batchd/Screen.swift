/// A picture that fills a terminal, drawn over again and again: what must be written to make what stands there another one.
/// Writes nothing itself.
///
/// It has the terminal's alternate screen, which no terminal wraps or scrolls when its size changes, and which leaves what
/// scrolled away before as it was. What was said, and the last picture, are written to the usual screen at the end.
struct Screen {
  private enum Code {
    static let open = "\u{1B}[?1049h\u{1B}[?25l\u{1B}[?7l\u{1B}[2J"
    static let close = "\u{1B}[?7h\u{1B}[?25h\u{1B}[?1049l"
    /// Terminals that know it show all that is between the two at once; the others ignore it.
    static let begin = "\u{1B}[?2026h"
    static let end = "\u{1B}[?2026l"
    static let eraseRight = "\u{1B}[K"
    static let eraseBelow = "\u{1B}[J"
    static func row(_ at: Int) -> String { "\u{1B}[\(at + 1);1H" }
  }

  struct Size: Equatable {
    let columns: Int
    let rows: Int
  }

  /// What is kept to be written at the end.
  private static let mostNotes = 1_000

  private var notes: [StyledLine] = []
  private var forgotten = 0
  private var block: [StyledLine] = []
  private var hasColor = false
  /// The rows that stand there, with their colors; nil when it is not known what does.
  private var drawn: [String]?
  private var size: Size?
  private var isOpen = false

  /// Rows that a block can have, so that the last notes are seen, too.
  func blockRows(_ size: Size, with more: Int) -> Int {
    max(size.rows - min(notes.count + more, size.rows / 4), 1)
  }

  /// - Parameters:
  ///   - more: stand above the block, the last of them.
  ///   - isLast: the picture is written by `close` only.
  /// - Returns: nothing when nothing has changed.
  mutating func text(
    notes more: [StyledLine], block: [StyledLine], size: Size, hasColor: Bool, isLast: Bool
  ) -> String {
    keep(more)
    (self.block, self.hasColor) = (block, hasColor)
    guard !isLast else {
      self.size = size
      return ""
    }
    let said = notes.suffix(size.rows).flatMap { $0.wrapped(width: size.columns) }
      .suffix(max(size.rows - block.count, 0))
    let rows = (said + block).map { line in
      // The erasure in a full line would take its last character.
      line.text(width: size.columns, hasColor: hasColor)
        + (line.width < size.columns ? Code.eraseRight : "")
    }
    var text = isOpen ? "" : Code.open
    let before = size == self.size && isOpen ? drawn : nil
    for (at, row) in rows.enumerated() where before.map({ at >= $0.count || $0[at] != row }) ?? true
    {
      text += Code.row(at) + row
    }
    if rows.count < size.rows, before.map({ $0.count > rows.count }) ?? true {
      text += Code.row(rows.count) + Code.eraseBelow
    }
    (drawn, self.size, isOpen) = (rows, size, true)
    return text.isEmpty ? "" : Code.begin + text + Code.end
  }

  /// What gives the terminal back for a while.
  mutating func leave() -> String {
    guard isOpen else { return "" }
    isOpen = false
    return Code.close
  }

  /// Somebody else may have written there.
  mutating func forget() { drawn = nil }

  /// What gives the terminal back for good, with all that was said and the last picture.
  mutating func close(_ more: [StyledLine]) -> String {
    keep(more)
    let earlier = forgotten > 0 ? [StyledLine("… \(Wording.count(forgotten)) earlier lines")] : []
    // What was said is whole; the picture is as wide as it was.
    let words = (earlier + notes).map { $0.text(width: nil, hasColor: hasColor) }
    let picture = block.map { $0.text(width: size?.columns, hasColor: hasColor) }
    let text = (words + picture).map { $0 + "\n" }.joined()
    (notes, block, forgotten) = ([], [], 0)
    return leave() + text
  }

  private mutating func keep(_ more: [StyledLine]) {
    notes += more
    let over = max(notes.count - Self.mostNotes, 0)
    notes.removeFirst(over)
    forgotten += over
  }
}
