/// Columns that line up, each as wide as its widest cell.
enum TextTable {
  struct Column {
    let title: String
    let isRight: Bool

    static func left(_ title: String) -> Column { Column(title: title, isRight: false) }
    static func right(_ title: String) -> Column { Column(title: title, isRight: true) }
  }

  /// The titles, then a line for each row.
  static func lines(_ columns: [Column], _ rows: [[StyledLine]]) -> [StyledLine] {
    let all = [columns.map { StyledLine($0.title, .dim) }] + rows
    let widths = columns.indices.map { at in all.map { $0[at].width }.max() ?? 0 }
    return all.map { cells in
      var line: StyledLine = ""
      for (at, cell) in cells.enumerated() {
        let isLast = at == cells.count - 1
        let gap = StyledLine(String(repeating: " ", count: widths[at] - cell.width))
        line += columns[at].isRight ? gap + cell : isLast ? cell : cell + gap
        if !isLast { line += "  " }
      }
      return line
    }
  }
}
