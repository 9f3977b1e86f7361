import Queue
import Redis
import TestSupport
import Testing

/// Redis's clock steps: what waits goes on waiting for as long as it would have.
@Suite struct ClockJumpTests {
  private static let start = QueueBench.start
  private static let hour = 3_600_000

  /// What a worker does that saw the clock jump by `step` at the test's moment `now`.
  private func jump(_ bench: QueueBench, by step: Int, at now: Int) async throws {
    let epoch = try #require(try await bench.field("meta", "epoch"))
    _ = try await bench.fcall("adopt", [0, .text("\(epoch) \(now)"), .integer(now + step)])
    try await bench.readopt(now: now + step)
  }

  private func due(_ bench: QueueBench, _ id: String) async throws -> Int? {
    try await bench.queue.client.call(["ZSCORE", "batchd:delayed", .text(id)]).text
      .flatMap { Int($0) }
  }

  @Test(arguments: [-hour, hour]) func delayedBatchesFollowAndOnlyAMomentStays(_ step: Int)
    async throws
  {
    let bench = try await QueueBench()
    try await bench.register()
    let moment = Self.start + 7_200_000
    try await bench.admit(
      #"{"id":"failing"}"#, #"{"id":"delay","delay":60}"#,
      #"{"id":"at","at":"2096-10-02T09:06:40Z"}"#)
    #expect(try await due(bench, "at") == moment)
    let claims = try await bench.claim()
    _ = try await bench.queue.fail(
      claims[0].lease, delayMilliseconds: 10_000, error: "no", now: Self.start)
    try await jump(bench, by: step, at: Self.start + 1_000)
    let now = Self.start + 1_000 + step
    let tick = try await bench.tick(now: now)
    #expect(try await due(bench, "failing") == Self.start + 10_000 + step)
    #expect(try await due(bench, "delay") == Self.start + 60_000 + step)
    #expect(try await due(bench, "at") == moment)
    #expect(tick.nextDeadline == now || tick.nextDeadline == Self.start + 10_000 + step)
    try await bench.tick(now: Self.start + 9_999 + step)
    #expect(try await bench.list("queue:demo:extraction") == [])
    try await bench.tick(now: Self.start + 10_000 + step)
    #expect(try await bench.list("queue:demo:extraction") == ["failing"])
    #expect(try await bench.field("batch:failing", "attempt") == "2")
    #expect(try await bench.queue.client.call(["EXISTS", "batchd:jumped"]).integer == 0)
  }

  /// Who fails between a step forward and its discovery waits by the new clock already.
  @Test(arguments: [10_000, hour])
  func whatBeganToWaitAfterAStepForwardIsNotMoved(_ step: Int) async throws {
    let bench = try await QueueBench()
    try await bench.register()
    try await bench.admit(#"{"id":"before"}"#, #"{"id":"after"}"#)
    let claims = try await bench.claim(count: 2)
    try #require(claims.map(\.lease.batch) == ["before", "after"])
    _ = try await bench.queue.fail(
      claims[0].lease, delayMilliseconds: 60_000, error: "no", now: Self.start)
    let stepped = Self.start + 1_000 + step
    _ = try await bench.queue.fail(
      claims[1].lease, delayMilliseconds: 60_000, error: "no", now: stepped)
    try await jump(bench, by: step, at: Self.start + 4_000)
    try await bench.tick(now: Self.start + 4_000 + step)
    #expect(try await due(bench, "before") == Self.start + 60_000 + step)
    #expect(try await due(bench, "after") == stepped + 60_000)
  }

  /// What the last beat noted is up to a beat old: who knows the clock knows better.
  @Test(arguments: [true, false]) func aStepBackIsMeasuredByWhoKnowsTheClock(_ knows: Bool)
    async throws
  {
    let bench = try await QueueBench()
    try await bench.register()
    try await bench.admit(#"{"id":"a","delay":60}"#)
    let now = Self.start + 9_000 - Self.hour
    let seen = knows ? " \(Self.start + 9_000)" : ""
    _ = try await bench.fcall("adopt", [0, .text(seen), .integer(now)])
    try await bench.readopt(now: now)
    try await bench.tick(now: now)
    let late = knows ? 0 : 9_000
    #expect(try await due(bench, "a") == Self.start + 60_000 - Self.hour + late)
  }

  /// More than one tick takes over, and a second jump before the first is dealt with.
  @Test func manyDelayedBatchesFollowTwoJumps() async throws {
    let bench = try await QueueBench()
    try await bench.register()
    let envelopes = (0..<2_500).map { RedisArgument.text(#"{"id":"b\#($0)","delay":600}"#) }
    _ = try await bench.queue.client.call(["LPUSH", "batchd:enqueue"] + envelopes)
    for _ in 0..<50 {
      let entries = try await bench.queue.intake(count: 64, now: Self.start)
      _ = try await bench.queue.admit(
        bench.queue.check(entries, defaultPipeline: "demo", now: Self.start), now: Self.start)
    }
    try await jump(bench, by: -Self.hour, at: Self.start)
    try await bench.tick(now: Self.start - Self.hour)
    #expect(try await bench.queue.client.call(["ZCARD", "batchd:jumped"]).integer == 1_500)
    try await jump(bench, by: 3 * Self.hour, at: Self.start - Self.hour)
    let now = Self.start + 2 * Self.hour
    var next: Int? = now
    while next == now {
      next = try await bench.tick(now: now).nextDeadline
    }
    #expect(next == now + 600_000)
    let range: [RedisArgument] = [.integer(now + 600_000), .integer(now + 600_000)]
    #expect(
      try await bench.queue.client.call(["ZCOUNT", "batchd:delayed"] + range).integer == 2_500)
  }

  /// A restart, or a replica with another clock: whoever adopts first sees to the jump, the others need not.
  @Test func aJumpInTheShadowOfAnotherEpochIsSeenToOnce() async throws {
    let bench = try await QueueBench()
    try await bench.register()
    try await bench.admit(#"{"id":"delay","delay":600}"#)
    func adopt(seen: RedisArgument, _ now: Int) async throws -> [Int?]? {
      try await bench.fcall("adopt", [0, seen, .integer(now)]).array?.map(\.integer)
    }
    let now = Self.start + 60_000 + Self.hour
    _ = try await bench.queue.client.call(["HSET", "batchd:meta", "run_id", "another"])
    #expect(try await adopt(seen: "", now) == [2, now, 0])
    let expected = Self.start + 60_000
    #expect(try await adopt(seen: .text("2 \(expected)"), now) == [3, now, 3])
    #expect(try await adopt(seen: .text("2 \(expected)"), now) == [3, now, 3])
    try await bench.readopt(now: now)
    try await bench.tick(now: now)
    #expect(try await due(bench, "delay") == Self.start + 600_000 + Self.hour)
  }

  @Test func whoEndsDuringAJumpIsNotDelayedAgain() async throws {
    let bench = try await QueueBench()
    try await bench.register()
    try await bench.admit(#"{"id":"a","delay":60}"#)
    try await jump(bench, by: Self.hour, at: Self.start)
    #expect(try await bench.fcall("cancel", ["a"]).text != nil)
    try await bench.tick(now: Self.start + Self.hour)
    #expect(try await due(bench, "a") == nil)
    #expect(try await bench.queue.client.call(["EXISTS", "batchd:jumped"]).integer == 0)
  }

  /// Who comes between a step forward and its discovery was heard by the new time.
  @Test func whoWasHeardAfterTheStepIsNotMoved() async throws {
    let bench = try await QueueBench()
    try await bench.register()
    let now = Self.start + 5_000 + Self.hour
    let other = try await QueueBench("w2", on: bench.redis, now: now)
    try await other.register(now: now)
    try await jump(bench, by: Self.hour, at: Self.start + 6_000)
    func heard(_ worker: RedisArgument) async throws -> String? {
      try await bench.queue.client.call(["ZSCORE", "batchd:workers", worker]).text
    }
    #expect(try await heard("w1") == "\(Self.start + Self.hour)")
    #expect(try await heard("w2") == "\(now)")
    try await bench.tick(now: now + 1_000)
    #expect(try await bench.queue.client.call(["ZCARD", "batchd:departed"]).integer == 0)
  }

  @Test func whatWasNotedWithTheOldTimeNeitherExcusesNorBuriesAnybody() async throws {
    let bench = try await QueueBench()
    try await bench.register(quiet: 12_000)
    try await bench.tick(now: Self.start + 20_000)
    #expect(try await bench.field("meta", "outage_ms") != nil)
    _ = try await bench.queue.renew(
      [], boot: "1", lists: [QueueBench.list], counters: [], leaseMilliseconds: QueueBench.lease,
      now: Self.start + 20_000)
    try await jump(bench, by: -Self.hour, at: Self.start + 21_000)
    let heard = try await bench.queue.client.call(["ZSCORE", "batchd:workers", "w1"]).text
    #expect(heard == "\(Self.start + 20_000 - Self.hour)")
    try await bench.admit(#"{"id":"a"}"#, now: Self.start + 21_000 - Self.hour)
    let claims = try await bench.claim(now: Self.start + 21_000 - Self.hour)
    #expect(claims.count == 1)
    // A crash after the step back is a crash, although the outage before it lies in the future.
    try await bench.register(boot: "2", now: Self.start + 30_000 - Self.hour)
    try await bench.tick(now: Self.start + 36_000 - Self.hour)
    #expect(try await bench.field("batch:a", "crashes") == "1")
  }
}
