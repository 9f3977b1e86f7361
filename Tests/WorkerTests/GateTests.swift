import Pipeline
import Synchronization
import TestSupport
import Testing
import Worker

/// Limits limit requests, not job starts, across all workers.
@Suite(.serialized) struct GateTests {
  private static let interval = Duration.milliseconds(200)
  /// Wider than the default: a test machine that is busy with other tests wakes its sleepers late.
  private static let margin = Duration.milliseconds(60)

  private func gatedWorkers(
    _ harness: WorkerHarness, _ requests: Int,
    _ request: @escaping @Sendable (StageContext) async throws -> Void
  ) throws -> [RunningWorker] {
    try ["w1", "w2"].map {
      try harness.worker(
        $0,
        [
          // One batch each at a time: both workers wait for the gate at once.
          .demo(slots: 1) { _, context in
            for _ in 0..<requests {
              try await context.take(gate: "service", intervalMilliseconds: 200)
              try await request(context)
            }
            return nil
          }
        ]
      ) { $0.gateMarginMilliseconds = 60 }
    }
  }

  @Test func twoWorkersKeepOneIntervalAndUseNearlyAllOfIt() async throws {
    let harness = try await WorkerHarness()
    let arrivals = Mutex<[ContinuousClock.Instant]>([])
    let workers = try gatedWorkers(harness, 6) { _ in arrivals.withLock { $0.append(.now) } }
    for name in ["w1", "w2"] { await harness.waitForWorker(name) }
    // Who wakes later than the margin loses its turn: the use is judged by a round in which the machine was not busy.
    var use = 0.0
    var round = 0
    while use < 0.9, round < 8 {
      round += 1
      arrivals.withLock { $0 = [] }
      try await harness.enqueue(
        #"{"id":"a\#(round)","operation":"o\#(round)"}"#,
        #"{"id":"b\#(round)","operation":"o\#(round)","size":2}"#)
      await harness.waitFor("completed", of: "progress:o\(round)", within: .seconds(30))
      let times = arrivals.withLock { $0 }
      #expect(times.count == 12)
      for (first, second) in zip(times, times.dropFirst()) {
        // The thread that has its permission may be held up for a moment before it looks at the clock.
        #expect(second - first >= Self.interval - .milliseconds(5))
      }
      use = (Self.interval + Self.margin) * 11 / (try #require(times.last) - times[0])
    }
    #expect(use >= 0.9)
    for worker in workers { try await worker.stop() }
  }

  @Test func aCloseIsHonouredByBothWorkersAndVoidsReservations() async throws {
    let harness = try await WorkerHarness()
    let arrivals = Mutex<[ContinuousClock.Instant]>([])
    let closed = Mutex<ClosedRange<ContinuousClock.Instant>?>(nil)
    let workers = try gatedWorkers(harness, 4) { context in
      let count = arrivals.withLock { arrivals in
        arrivals.append(.now)
        return arrivals.count
      }
      guard count == 4 else { return }
      let sent = ContinuousClock.now
      try await context.close(gate: "service", forMilliseconds: 1_500, reason: "429")
      // A permission of the moment before may still be on its way.
      closed.withLock { $0 = (.now + Self.interval)...(sent + .milliseconds(1_500)) }
    }
    for name in ["w1", "w2"] { await harness.waitForWorker(name) }
    try await harness.enqueue(
      #"{"id":"a","operation":"o"}"#, #"{"id":"b","operation":"o","size":2}"#)
    await harness.waitFor("completed", of: "progress:o", within: .seconds(30))
    let span = try #require(closed.withLock { $0 })
    let times = arrivals.withLock { $0 }
    #expect(times.count == 8)
    #expect(!times.contains { span.contains($0) })
    #expect(try await harness.events("gate_closed").map(\.["reason"]) == ["429"])
    for worker in workers { try await worker.stop() }
  }

  @Test func aGateClosedForLongCostsNeitherSlotNorAttempt() async throws {
    let harness = try await WorkerHarness()
    let attempts = Mutex<[Int]>([])
    let worker = try harness.worker(
      "w1",
      [
        .demo(slots: 1) { job, context in
          guard job.batch == "b1" else { return nil }
          attempts.withLock { $0.append(job.attempt) }
          if attempts.withLock({ $0.count }) == 1 {
            try await context.close(gate: "service", forMilliseconds: 2_500, reason: "429")
          }
          try await context.take(gate: "service", intervalMilliseconds: 10)
          return nil
        }
      ])
    try await harness.enqueue(#"{"id":"b1"}"#)
    await eventually("it waits without a slot") {
      try await harness.field("batch:b1", "place") == "batchd:delayed"
    }
    #expect(try await harness.field("batch:b1", "error") == "gate service is closed")
    try await harness.enqueue(#"{"id":"b2"}"#)
    await harness.waitFor("completed", of: "batch:b2", within: .seconds(2))
    await harness.waitFor("completed", of: "batch:b1")
    #expect(attempts.withLock { $0 } == [1, 1])
    #expect(try await harness.field("batch:b1", "retry_count") == "0")
    try await worker.stop()
  }

  /// Their calls at once would make every reply come too late, and everybody ask again.
  @Test func manyAccountsAtTheirGatesAtOnceAreChargedNothing() async throws {
    let harness = try await WorkerHarness()
    let count = 500
    let worker = try harness.worker(
      "w1",
      [
        .demo(slots: count) { job, context in
          for _ in 0..<2 {
            try await context.take(gate: job.account ?? "", intervalMilliseconds: 1_000)
          }
          return nil
        }
      ])
    await harness.waitForWorker("w1")
    #expect(try await harness.fcall("pause", "all") != "")
    let envelopes = (0..<count).map { #"{"id":"b\#($0)","operation":"o","account":"a\#($0)"}"# }
    _ = try await harness.redis.cli(["LPUSH", "batchd:enqueue"] + envelopes)
    await eventually("all are admitted") {
      try await harness.field("progress:o", "total") == "\(count)"
    }
    #expect(try await harness.fcall("resume", "all") != "")
    await harness.waitFor("completed", of: "progress:o", within: .seconds(60))
    #expect(try await harness.field("stats", "retries") == "")
    // A machine that stands still may put off some.
    #expect(try await harness.events("snoozed").count < count / 2)
    try await worker.stop()
  }
}
