import Queue
import Testing

@testable import batchd

/// What the picture of `watch` holds.
@Suite struct WatchRenderingTests {
  private static func block(
    _ update: Watcher.Update, columns: Int, rows: Int, paces: [String: WatchPace] = [:]
  ) -> [String] {
    WatchRendering.block(update, paces: paces, columns: columns, rows: rows)
      .map { $0.text(width: columns, hasColor: false) }
  }

  @Test(arguments: [20, 40, 66, 80, 200], [1, 2, 5, 8, 40])
  func thePictureFitsItsWindow(columns: Int, rows: Int) {
    var update = Samples.update(
      operations: 6, batches: 12, accounts: (0..<9).map { Samples.account("a\($0)") })
    for problem in [nil, "connection refused"] {
      update.problem = problem
      let lines = Self.block(update, columns: columns, rows: rows)
      #expect(lines.count <= rows && !lines.isEmpty)
      #expect(lines.allSatisfy { Columns.width($0) <= columns })
      #expect(problem == nil || lines[0].hasPrefix("no Redis, trying"))
    }
  }

  @Test func accountsStagesAndBatchesStandBelowTheirOperation() {
    let accounts = [Samples.account("acme"), Samples.account("bolt", done: 20)]
    let text = Self.block(
      Samples.update(operations: 2, batches: 1, accounts: accounts), columns: 100, rows: 20)
    #expect(
      text == [
        "op0  ███████████████░░░░░░░░░░░░░░░  50%  10/20 items",
        "  2 batches: 1 waiting, 1 running; 1 item failed",
        "  acme  ███░░░░░░░░░░░░  4/20  acme-1 extraction  1 waiting",
        "  bolt  ███████████████ 20/20  bolt-1 extraction  1 waiting",
        "  setup        ███████████████▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒ 2 waiting, 2 passed",
        "  extraction   ▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓░░░░░░░░░░░░░░░ 2 running",
        "  persistence  ░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░ ",
        "  b0  extraction  ███████░░░░░░░░ 5/10  1 failed",
        "op1  ███████████████░░░░░░░░░░░░░░░  50%  10/20 items",
      ])
  }

  @Test func inASmallWindowTroubleComesFirst() {
    var accounts = (0..<5).map { Samples.account("a\($0)") }
    accounts[3].isRunning = false
    accounts[3].gateOpensAt = Samples.now + 8_000
    accounts[3].gateReason = "429 from Workiz"
    let text = Self.block(
      Samples.update(operations: 1, batches: 2, accounts: accounts), columns: 40, rows: 5)
    #expect(
      text == [
        "op0  ██░░░  50%  10/20", "  2 batches: 1 waiting, 1 running; 1 it…",
        "  a3  4/20  gate closed for 8s: 429 fro…",
        "  setup        ███▒▒▒ 5 waiting, 5 pass…",
        "  … 4 more accounts, 2 more stages, 2 m…",
      ])
  }

  @Test(arguments: [
    ("again in 12s  ", "timeout"), ("goes on in 12s  ", "no token"), ("paused  ", ""),
    ("lane held by other-7 of other, 3 ahead  ETA", ""), ("gate closed for 12s  ", "429"),
    ("stalled for 40s  ", ""), ("waits for a slot  ", "timeout"),
  ])
  func whyAnAccountWaits(words: String, why: String) {
    var account = Samples.account("acme")
    var update = Samples.update(operations: 1, batches: 0)
    let in12s = Samples.now + 12_999
    account.isRunning = words.hasPrefix("stalled")
    account.error = why.isEmpty ? nil : why
    switch words.prefix(5) {
    case "again": (account.retrying, account.processing, account.dueAt) = (1, 0, in12s)
    case "waits": (account.retrying, account.processing) = (1, 0)
    case "goes ": account.dueAt = in12s
    case "pause": update.conditions.paused = ["account:acme"]
    case "gate ": (account.gateOpensAt, account.gateReason) = (in12s, why)
    case "lane ":
      (account.laneHolder, account.laneOperation) = ("other-7", "other")
      (account.batchesAhead, account.itemsAhead) = (3, 30)
      account.gateIntervalMilliseconds = 985
    default: account.changedAt = "2026-09-21T14:12:40.000Z"
    }
    update.details["op0"] = Samples.detail([account])
    let row =
      Self.block(update, columns: 150, rows: 20, paces: ["op0": WatchPace()])
      .first { $0.hasPrefix("  acme") } ?? ""
    #expect(row.contains("  \(words)"), "\(row)")
    #expect(why.isEmpty || row.hasSuffix("  \(why)"), "\(row)")
  }

  @Test func whatKeepsEverythingFromGoingOnComesFirst() {
    var update = Samples.update(operations: 1, batches: 0)
    update.conditions.workers = 0
    update.conditions.paused = ["all"]
    let text = Self.block(update, columns: 100, rows: 10)
    #expect(text[0] == "no worker is running: nothing moves until one starts (batchd work)")
    #expect(text[1] == "paused: all (batchd resume)")
  }

  @Test func whatIsTooMuchToLookAtIsSaid() {
    var update = Samples.update(operations: 1, batches: 0)
    update.details["op0"]?.isWhole = false
    update.details["op0"]?.stages = []
    update.details["op0"]?.accountCount = 3_000
    let text = Self.block(update, columns: 100, rows: 10)
    #expect(text.contains("  … 3,000 more accounts: too many to look at"))
    #expect(text.contains("  stages: 2 batches are too many to look at each"))
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
    #expect(
      try show(Samples.progress("a", done: 2), after: 2).contains("2/20 items  0.5/s  ETA 36s"))
    // Two changes within a second are one line; the end never waits.
    #expect(try show(Samples.progress("a", done: 3), after: 2.5) == "")
    #expect(try show(Samples.progress("a", done: 3), after: 2.6, problem: "away") != "")
    #expect(try show(Samples.progress("a", done: 3), after: 2.7, problem: "away") == "")
    let end = try show(Samples.progress("a", done: 20, status: "completed"), after: 2.8)
    #expect(end.hasPrefix("Redis is back\na  100%  20/20 items  completed"))
  }
}
