import Queue
import Testing

@testable import batchd

/// Rates, when something will be done, and what of many errors is shown.
@Suite struct WatchPaceTests {
  private let start = ContinuousClock.now

  @Test func theRateIsWhatTheLastSecondsShow() {
    var rate = WatchRate()
    rate.note(0, at: start)
    #expect(rate.perSecond == nil)
    rate.note(2, at: start + .seconds(2))
    #expect(rate.perSecond == 1)
    // It stands still: after the window that is all that is seen.
    rate.note(2, at: start + .seconds(12))
    rate.note(2, at: start + .seconds(30))
    #expect(rate.perSecond == 0)
    // A retry counts back; no negative speed.
    rate.note(1, at: start + .seconds(31))
    #expect(rate.perSecond == nil)
  }

  @Test func beforeARateIsMeasuredTheGateGivesIt() {
    var account = Samples.account("acme", done: 10)
    #expect(WatchPace().remaining(account, now: Samples.now) == .unknown)
    account.gateIntervalMilliseconds = 985
    #expect(WatchPace().remaining(account, now: Samples.now) == .about(10))
    // Others' items in the lane, a closed gate and a backoff come before.
    account.itemsAhead = 5
    #expect(WatchPace().remaining(account, now: Samples.now) == .about(15))
    account.gateOpensAt = Samples.now + 30_000
    account.dueAt = Samples.now + 20_000
    #expect(WatchPace().remaining(account, now: Samples.now) == .about(45))
  }

  @Test func accountsRunSideBySide() {
    var pace = WatchPace()
    let progress = Samples.update(operations: 1, batches: 0).operations[0]
    var (quick, slow) = (Samples.account("quick", done: 0), Samples.account("slow", done: 0))
    (quick.total, slow.total) = (1, 1)
    for second in 0...10 {
      (quick.itemsDone, slow.itemsDone) = (second, second / 2)
      pace.note(progress, Samples.detail([quick, slow]), at: start + .seconds(second))
    }
    let detail = Samples.detail([quick, slow])
    #expect(pace.remaining(quick, now: Samples.now) == .about(10))
    #expect(pace.remaining(slow, now: Samples.now) == .about(30))
    #expect(pace.remaining(progress, detail, now: Samples.now) == .about(30))
  }

  @Test func aStandstillIsNotAGrowingTime() {
    let quiet = "2026-09-21T14:12:40.000Z"
    let now = Samples.now + 20_000
    var account = Samples.account("acme", done: 10)
    (account.total, account.pending) = (2, 1)
    account.gateIntervalMilliseconds = 985
    account.changedAt = quiet
    let progress = Samples.update(operations: 1, batches: 0).operations[0]
    var detail = Samples.detail([account])
    detail.changedAt = quiet
    #expect(WatchPace().remaining(account, now: now) == .stalled(60))
    #expect(WatchPace().remaining(progress, detail, now: now) == .stalled(60))
    // Whoever waits for a moment does not stand still.
    account.isRunning = false
    account.dueAt = now + 5_000
    detail.accounts = [account]
    #expect(WatchPace().remaining(account, now: now) == .about(15))
    #expect(WatchPace().remaining(progress, detail, now: now) == .about(15))
  }

  @Test func aFloodOfErrorsIsFolded() {
    var fold = WatchFold()
    func notes(_ kind: String, _ range: Range<Int>) -> [WatchFold.Note] {
      range.map { .init(line: StyledLine("\(kind) \($0)"), kind: kind) }
    }
    func text(_ lines: [StyledLine]) -> [String] { lines.map(\.plainText) }
    #expect(text(fold.lines(notes("a", 0..<10_000), at: start)) == ["a 0"])
    #expect(text(fold.lines(notes("b", 0..<1), at: start + .seconds(1))) == ["b 0"])
    #expect(text(fold.lines(notes("a", 10_000..<10_005), at: start + .seconds(4))) == [])
    #expect(
      text(fold.lines([], at: start + .seconds(5))) == [
        "          … 10,003 more like this, then", "a 10004",
      ])
    // Many kinds are one; all that was held back comes at the end.
    let many = (0..<100).flatMap { notes("k\($0)", 0..<1) }
    #expect(fold.lines(many, at: start + .seconds(20)).count == 12)
    #expect(text(fold.rest()) == ["          … 87 more of other kinds, then", "k99 0"])
    #expect(fold.rest() == [])
  }
}
