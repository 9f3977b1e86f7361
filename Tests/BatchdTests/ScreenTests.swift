import Testing

@testable import batchd

/// What `Screen` writes, read by a terminal of a few lines.
@Suite struct ScreenTests {
  /// As much of a terminal as is needed here. An escape that it does not know is a failure.
  private struct SmallTerminal {
    let columns: Int
    let rows: Int
    /// All that was ever written to the usual screen.
    private(set) var usual: [[Character]] = [[]]
    private(set) var alternate: [[Character]] = []
    private(set) var isAlternate = false
    private(set) var isCursorVisible = true
    private var row = 0
    private var column = 0
    private var wraps = true

    init(columns: Int, rows: Int) { (self.columns, self.rows) = (columns, rows) }

    mutating func write(_ text: String) {
      var rest = text.unicodeScalars[...]
      while let scalar = rest.popFirst() {
        if scalar == "\u{1B}" {
          #expect(rest.popFirst() == "[")
          let words = rest.prefix { !("@"..."~").contains($0) }
          rest = rest.dropFirst(words.count)
          escape(String(words), rest.popFirst() ?? " ")
        } else if isAlternate {
          put(Character(scalar))
        } else if scalar == "\n" {
          usual.append([])
        } else {
          usual[usual.count - 1].append(Character(scalar))
        }
      }
    }

    private mutating func put(_ character: Character) {
      #expect(!wraps && character != "\n")
      let at = min(column, columns - 1)
      while alternate[row].count <= at { alternate[row].append(" ") }
      alternate[row][at] = character
      column += 1
    }

    private mutating func escape(_ words: String, _ end: Unicode.Scalar) {
      switch (words, end) {
      case ("?25", _): isCursorVisible = end == "h"
      case ("?7", _): wraps = end == "h"
      case ("?1049", _):
        isAlternate = end == "h"
        // Others leave it as it was.
        alternate = Array(repeating: ["?"], count: rows)
      case ("?2026", _), (_, "m"): break
      case ("2", "J"): alternate = Array(repeating: [], count: rows)
      case (_, "H"): (row, column) = (Int(words.prefix { $0 != ";" })! - 1, 0)
      // In a full line the cursor stands on its last character, and both erasures take that, too.
      case ("", "K"): alternate[row] = Array(alternate[row].prefix(min(column, columns - 1)))
      case ("", "J"):
        alternate[row] = Array(alternate[row].prefix(min(column, columns - 1)))
        for below in (row + 1)..<max(rows, row + 1) { alternate[below] = [] }
      default: Issue.record("unknown escape \(words)\(end)")
      }
    }
  }

  private static let size = Screen.Size(columns: 20, rows: 8)

  private static func shown(
    _ screen: inout Screen, _ block: [String], notes: [String] = [], size: Screen.Size = size
  ) -> String {
    screen.text(
      notes: notes.map { StyledLine($0) }, block: block.map { StyledLine($0, .cyan) }, size: size,
      hasColor: true, isLast: false)
  }

  @Test func whatIsAlreadyThereIsNotWrittenAgain() {
    var screen = Screen()
    let first = Self.shown(&screen, ["one", "two", "three"])
    #expect(first.contains("one") && first.contains("three"))
    #expect(Self.shown(&screen, ["one", "two", "three"]) == "")
    let change = Self.shown(&screen, ["one", "two", "3"])
    #expect(change == "\u{1B}[?2026h\u{1B}[3;1H\u{1B}[36m3\u{1B}[0m\u{1B}[K\u{1B}[?2026l")
    // Another size, or others who wrote there: all of it.
    let wide = Screen.Size(columns: 30, rows: 8)
    #expect(Self.shown(&screen, ["one", "two", "3"], size: wide).contains("one"))
    screen.forget()
    #expect(Self.shown(&screen, ["one", "two", "3"], size: wide).contains("one"))
    #expect(screen.leave().contains("\u{1B}[?25h") && screen.leave() == "")
  }

  @Test func whatHasEndedAtOnceNeedsNoScreen() {
    var screen = Screen()
    let text = screen.text(
      notes: ["note"], block: ["block"], size: Self.size, hasColor: false, isLast: true)
    #expect(text + screen.close(["more"]) == "note\nmore\nblock\n")
  }

  /// Blocks and notes at random: the picture is always the last block below the last notes; at the end all notes stand on
  /// the usual screen, in their order.
  @Test(arguments: 0..<20)
  func anyChangeEndsInTheRightPicture(seed: Int) {
    var random = Numbers(state: UInt64(seed) &* 0x9E37_79B9_7F4A_7C15 &+ 1)
    var screen = Screen()
    var terminal = SmallTerminal(columns: Self.size.columns, rows: Self.size.rows)
    var said: [String] = []
    var block: [String] = []
    for step in 0..<60 {
      let count = Int.random(in: 0...Self.size.rows, using: &random)
      block = (0..<count).map { at in
        // Often the same as before.
        Bool.random(using: &random) && at < block.count
          ? block[at]
          : String(repeating: "x", count: Int.random(in: 1...24, using: &random)) + "\(step)"
      }
      let notes = (0..<max(Int.random(in: -6...3, using: &random), 0)).map { at in
        "\(step)-\(at)" + String(repeating: "n", count: Int.random(in: 0...50, using: &random))
      }
      said += notes
      terminal.write(Self.shown(&screen, block, notes: notes))
      let wrapped = said.flatMap { note in
        stride(from: 0, to: note.count, by: Self.size.columns).map {
          String(note.dropFirst($0).prefix(Self.size.columns))
        }
      }
      let cut = block.map { StyledLine($0).text(width: Self.size.columns, hasColor: false) }
      let rows = wrapped.suffix(Self.size.rows - cut.count) + cut
      let empty = Array(repeating: "", count: Self.size.rows - rows.count)
      #expect(terminal.alternate.map { String($0) } == rows + empty)
      #expect(!terminal.isCursorVisible && terminal.usual == [[]])
      if seed.isMultiple(of: 2), step.isMultiple(of: 7) { terminal.write(screen.leave()) }
    }
    let last = block.map { StyledLine($0).text(width: Self.size.columns, hasColor: false) }
    terminal.write(screen.close(["end"]))
    #expect(terminal.isCursorVisible && !terminal.isAlternate)
    #expect(terminal.usual.map { String($0) } == said + ["end"] + last + [""])
  }

  private struct Numbers: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return state ^ (state >> 29)
    }
  }
}
