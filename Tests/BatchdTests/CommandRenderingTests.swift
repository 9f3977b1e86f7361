import Queue
import Testing

@testable import batchd

@Suite struct CommandRenderingTests {
  @Test func aLineIsCutToItsWidthBeforeItIsColored() {
    let line = StyledLine("abc", .red) + StyledLine("defg")
    #expect(line.text(width: nil, hasColor: false) == "abcdefg")
    #expect(line.text(width: 7, hasColor: false) == "abcdefg")
    #expect(line.text(width: 5, hasColor: false) == "abcd…")
    #expect(line.text(width: 2, hasColor: true) == "\u{1B}[31ma\u{1B}[0m…")
  }

  @Test func aLineIsMeasuredInColumns() {
    #expect(StyledLine("日本 e\u{301} 🚀").width == 9)
    let line = StyledLine("日本語", .red) + StyledLine("ab")
    #expect(line.text(width: 8, hasColor: false) == "日本語ab")
    // Half of a character cannot be shown: a column stays free.
    #expect(line.text(width: 6, hasColor: false) == "日本…")
    #expect(line.text(width: 7, hasColor: false) == "日本語…")
    #expect(Columns.padded("日本語", 4) == "日… ")
    #expect(Columns.padded("日本", 6, isRight: true) == "  日本")
    let rows = TextTable.lines([.left("A"), .left("B")], [["日本", "x"], ["abc", "y"]])
    #expect(rows.map(\.plainText) == ["A     B", "日本  x", "abc   y"])
  }

  @Test func whatAServiceAnsweredCannotDriveTheTerminal() {
    let line = StyledLine("a\u{1B}[2Jb\nc\u{202E}d\u{9B}e")
    #expect(line.text(width: nil, hasColor: false) == "a [2Jb c d e")
  }

  @Test(arguments: [
    (0, "0"), (999, "999"), (1_000, "1,000"), (12_345_678, "12,345,678"), (-1_234, "-1,234"),
  ])
  func counts(value: Int, text: String) { #expect(Wording.count(value) == text) }

  @Test(arguments: [
    (850, "850ms"), (12_900, "12s"), (185_000, "3m05s"), (7_620_000, "2h07m"),
    (356_400_000, "4d03h"), (-5, "0ms"),
  ])
  func durations(milliseconds: Int, text: String) {
    #expect(Wording.duration(milliseconds: milliseconds) == text)
  }

  @Test func manyFindingsAreCountedAndOneAreaHidesNoOther() throws {
    let broken = (0..<53).map {
      Finding("batchd:batch:b\($0)", "is\u{1B}[2J odd", remedy: "mend it")
    }
    let report = DoctorReport(areas: [
      Area("records", "99 keys", findings: broken, notes: ["so it is"]), Area("store", "there"),
    ])
    let lines = report.lines(repair: false, hasColor: false).split(separator: "\n")
    #expect(lines[0] == "records    53 findings  99 keys")
    #expect(lines[1] == "  batchd:batch:b0 is [2J odd" && lines[2] == "    remedy: mend it")
    #expect(lines[101] == "  … 3 more; --json shows all" && lines[102] == "  note: so it is")
    #expect(lines[103] == "store      ok  there" && lines[104] == "53 findings")
    #expect(lines[105] == "batchd doctor --repair applies the remedies of broken records")
    let json = try CommonOptions.json(report)
    #expect(json.contains(#"{"is_fine":false,"name":"records","notes":["so it is"],"summary":"#))
    #expect(json.contains("batchd:batch:b52"))
  }

  @Test func aTableLinesUp() {
    let lines = TextTable.lines(
      [.left("NAME"), .right("N"), .left("WHY")], [["a", "1,000", "x"], ["longer", "2", "y"]])
    #expect(
      lines.map { $0.text(width: nil, hasColor: false) } == [
        "NAME        N  WHY", "a       1,000  x", "longer      2  y",
      ])
  }
}
