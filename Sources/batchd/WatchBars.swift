internal import Queue

/// The bars of `watch`, and how wide they are.
extension WatchRendering {
  /// What the width of a window leaves for what.
  struct Shape {
    /// Columns of the operations' names.
    let names: Int
    /// Columns of an operation's bar; 0 where there is none.
    let bar: Int
    /// Whether words must make room.
    let isNarrow: Bool

    static let none = Shape(names: 0, bar: 0, isNarrow: false)

    private init(names: Int, bar: Int, isNarrow: Bool) {
      (self.names, self.bar, self.isNarrow) = (names, bar, isNarrow)
    }

    init(_ operations: [String], columns: Int) {
      let longest = operations.map(Columns.width).max() ?? 0
      isNarrow = columns < 66
      names = min(longest, max(columns / (isNarrow ? 4 : 3), 8))
      bar = isNarrow ? max((columns - names) / 7, 3) : min(max(columns - names - 46, 6), 30)
    }

    /// Columns of what stands below an operation: a bar of its own, if any.
    var lesserBar: Int { isNarrow ? 0 : max(bar / 2, 6) }
    /// The longest account or batch name.
    var lesserNames: Int { isNarrow ? 10 : 24 }
  }

  /// Pieces of a whole, each at least one column where there is anything of it; the rest is still to come.
  static func bar(
    _ parts: [(count: Int, mark: Character, style: StyledLine.Style)], of total: Int, _ width: Int
  ) -> StyledLine {
    guard total > 0 else { return StyledLine(String(repeating: "░", count: width), .dim) }
    let counted = min(parts.reduce(0) { $0 + $1.count }, total)
    var cells = parts.map { part in
      part.count > 0 ? max(part.count * width / total, parts.count > 1 ? 1 : 0) : 0
    }
    // All that is there fills it, and nothing else does.
    let most = counted == total ? width : width - 1
    while cells.reduce(0, +) > most, let at = cells.indices.max(by: { cells[$0] < cells[$1] }),
      cells[at] > 0
    {
      cells[at] -= 1
    }
    let missing = width - cells.reduce(0, +)
    if counted == total, let at = cells.indices.max(by: { cells[$0] < cells[$1] }) {
      cells[at] += missing
    }
    var line: StyledLine = ""
    for (part, count) in zip(parts, cells) where count > 0 {
      line += StyledLine(String(repeating: part.mark, count: count), part.style)
    }
    let rest = width - cells.reduce(0, +)
    return rest > 0 ? line + StyledLine(String(repeating: "░", count: rest), .dim) : line
  }
}
