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

  @Test(arguments: [20, 44, 80, 200], [1, 2, 5, 40])
  func thePictureFitsItsWindow(columns: Int, rows: Int) {
    let update = Samples.update(operations: 6, batches: 12)
    let lines = WatchRendering.block(update, rates: [:], columns: columns, rows: rows)
    #expect(lines.count <= rows)
    for line in lines {
      #expect(line.text(width: columns, hasColor: false).count <= columns)
    }
  }

  @Test func batchesStandBelowTheirOperation() {
    let update = Samples.update(operations: 2, batches: 2)
    let text = WatchRendering.block(update, rates: [:], columns: 100, rows: 20)
      .map { $0.text(width: 100, hasColor: false) }
    #expect(text.count == 6)
    #expect(text[0].hasPrefix("op0  ███████████████░░░░░░░░░░░░░░░  50%  10/20 items"))
    #expect(text[1] == "  2 batches: 1 waiting, 1 running; 1 item failed")
    #expect(text[2].hasPrefix("  acme  b0  extraction  █") && text[2].hasSuffix("5/10  1 failed"))
    #expect(text[3].hasPrefix("  acme  b1  extraction  █"))
    #expect(text[4].hasPrefix("op1  "))
  }

  @Test func hiddenBatchesAreCounted() {
    let update = Samples.update(operations: 1, batches: 9)
    let last = WatchRendering.block(update, rates: [:], columns: 80, rows: 6).last
    #expect(last?.text(width: nil, hasColor: false) == "  … 6 more under way")
  }

  @Test func theRateIsWhatTheLastSecondsShow() {
    var rate = WatchRate()
    let start = ContinuousClock.now
    rate.note(Samples.progress("a", done: 0), at: start)
    #expect(rate.itemsPerSecond == nil)
    rate.note(Samples.progress("a", done: 2), at: start + .seconds(2))
    #expect(rate.itemsPerSecond == 1)
    #expect(rate.remainingSeconds(Samples.progress("a", done: 2)) == 18)
    // It stands still: after the window that is all that is seen.
    rate.note(Samples.progress("a", done: 2), at: start + .seconds(12))
    rate.note(Samples.progress("a", done: 2), at: start + .seconds(30))
    #expect(rate.itemsPerSecond == 0)
    #expect(rate.remainingSeconds(Samples.progress("a", done: 2)) == nil)
    // A retry counts back; no negative speed.
    rate.note(Samples.progress("a", done: 1), at: start + .seconds(31))
    #expect(rate.itemsPerSecond == nil)
  }

  @Test func theLivePictureIsDrawnOverAndTheCursorComesBack() throws {
    var view = WatchView(.live)
    #expect(view.end() == "")
    let update = Samples.update(operations: 1, batches: 0)
    let size = (columns: 80, rows: 24)
    let first = try view.text(update, at: .now, size: size, hasColor: false)
    #expect(first.hasPrefix("\u{1B}[?25l\r\u{1B}[J") && first.hasSuffix("\n"))
    let second = try view.text(update, at: .now, size: size, hasColor: false)
    #expect(second.hasPrefix("\u{1B}[2A\r\u{1B}[J"))
    // In half the width the first of the two lines has wrapped.
    let third = try view.text(update, at: .now, size: (columns: 50, rows: 24), hasColor: false)
    #expect(third.hasPrefix("\u{1B}[3A\r\u{1B}[J"))
    #expect(view.end() == "\u{1B}[?25h")
  }

  @Test func aPipeGetsALineForAChange() throws {
    var view = WatchView(.plain)
    let start = ContinuousClock.now
    func show(_ progress: OperationProgress, after seconds: Double, problem: String? = nil) throws
      -> String
    {
      var update = Watcher.Update()
      update.operations = [progress]
      update.problem = problem
      return try view.text(
        update, at: start + .seconds(seconds), size: nil, hasColor: false)
    }
    #expect(
      try show(Samples.progress("a", done: 1), after: 0).hasPrefix("a  5%  1/20 items  1 batch"))
    #expect(try show(Samples.progress("a", done: 1), after: 2) == "")
    #expect(try show(Samples.progress("a", done: 2), after: 2).contains("2/20 items  0.5/s"))
    // Two changes within a second are one line; the end never waits.
    #expect(try show(Samples.progress("a", done: 3), after: 2.5) == "")
    #expect(try show(Samples.progress("a", done: 3), after: 2.6, problem: "away") != "")
    #expect(try show(Samples.progress("a", done: 3), after: 2.7, problem: "away") == "")
    let end = try show(Samples.progress("a", done: 20, status: "completed"), after: 2.8)
    #expect(end.hasPrefix("Redis is back\na  100%  20/20 items  completed"))
  }
}
