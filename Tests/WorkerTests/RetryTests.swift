import Pipeline
import Synchronization
import TestSupport
import Testing
import Worker

/// A handler that fails: backoff, the end, and a person's retry.
@Suite struct RetryTests {
  @Test func aHandlerFailingForGoodBacksOffFailsAndIsRetriedForItsUnfinishedItemsOnly()
    async throws
  {
    var policy = RetryPolicy()
    policy.backoffMilliseconds = 200
    policy.capMilliseconds = 500
    let harness = try await WorkerHarness()
    let attempts = Mutex<[(items: [String], at: ContinuousClock.Instant)]>([])
    let isRepaired = Mutex(false)
    let worker = try harness.worker(
      "w1",
      [
        .demo(retry: policy) { job, context in
          attempts.withLock { $0.append((job.items.map(\.id), .now)) }
          for item in job.items where item.id != "B" || isRepaired.withLock({ $0 }) {
            try await context.checkpoint([item.id: .done(.string(item.id))])
          }
          if !isRepaired.withLock({ $0 }) { throw StageError.retry("B is not to be had") }
          return nil
        }
      ])
    try await harness.enqueue(#"{"id":"b1","account":"acme","items":["A","B","C"]}"#)
    await harness.waitFor("failed", of: "progress:b1")

    let tries = attempts.withLock { $0 }
    #expect(tries.map(\.items) == [["A", "B", "C"], ["B"], ["B"], ["B"]])
    let delays = try await harness.events("retrying").map { event in
      try #require(Timestamp(rfc3339: event["due"]!)).milliseconds
        - #require(Timestamp(rfc3339: event["at"]!)).milliseconds
    }
    // Half of 200, 400 and the cap of 500 is certain, half is spread.
    try #require(delays.count == 3)
    for (delay, bounds) in zip(delays, [Int64(100)..<200, 200..<400, 250..<500]) {
      #expect(bounds.contains(delay))
    }
    for ((first, second), delay) in zip(zip(tries, tries.dropFirst()), delays) {
      #expect(second.at - first.at >= .milliseconds(delay - 5))
    }
    let batch = try await harness.hash("batch:b1")
    #expect(batch["error"] == "B is not to be had (attempt 4, no retries left)")
    #expect(batch["retry_count"] == "3")
    #expect(batch["attempt"] == "4")
    #expect(batch["items_done"] == "2")
    #expect(batch["items_failed"] == "1")
    #expect(try await harness.redis.cli("ZRANGE", "batchd:failed", "0", "-1") == "b1")

    isRepaired.withLock { $0 = true }
    #expect(
      try await harness.redis.cli("FCALL", "batchd_retry", "1", "batchd", "b1")
        == "retrying run 2 from extraction")
    await harness.waitFor("completed", of: "progress:b1")
    #expect(attempts.withLock { $0.last?.items } == ["B"])
    let progress = try await harness.hash("progress:b1")
    #expect(progress["items_done"] == "3")
    #expect(progress["items_failed"] == "0")
    #expect(progress["percent"] == "100")
    #expect(try await harness.redis.cli("ZCARD", "batchd:failed") == "0")
    let ended = try await harness.hash("batch:b1")
    #expect(ended["error"] == nil)
    #expect(ended["retry_count"] == "0")
    try await worker.stop()
  }

  /// The given stage runs again although its items were done; what it counted once is not counted twice.
  @Test func aRetryFromAnEarlierStageCountsEachItemOnce() async throws {
    let harness = try await WorkerHarness()
    let fails = Mutex(true)
    let seen = Mutex<[String]>([])
    let worker = try harness.worker(
      "w1",
      [
        PipelineDefinition(
          name: "demo",
          stages: [
            .init(
              stage: .extraction,
              handler: Handler { job, context in
                seen.withLock { $0.append("\(job.run):\(job.items.map(\.id).joined())") }
                // The first run says nothing of its items: a normal return counts them as done.
                if job.run > 1 { try await context.checkpoint(["A": .done(.null)]) }
                return nil
              }),
            .init(
              stage: .persistence,
              handler: Handler { _, _ in
                if fails.withLock({ $0 }) { throw StageError.permanent("no") }
                return nil
              }),
          ], counts: .extraction)
      ])
    try await harness.enqueue(#"{"id":"b1","items":["A","B"]}"#)
    await harness.waitFor("failed", of: "progress:b1")
    #expect(try await harness.field("progress:b1", "items_done") == "2")
    fails.withLock { $0 = false }
    #expect(
      try await harness.redis.cli("FCALL", "batchd_retry", "1", "batchd", "b1", "extraction")
        == "retrying run 2 from extraction")
    await harness.waitFor("completed", of: "progress:b1")
    #expect(seen.withLock { $0 } == ["1:AB", "2:AB"])
    let progress = try await harness.hash("progress:b1")
    #expect(progress["items_done"] == "2")
    #expect(progress["percent"] == "100")
    try await worker.stop()
  }

  @Test func aTimeoutIsARetryThatIsCharged() async throws {
    var policy = RetryPolicy()
    policy.retries = 1
    policy.backoffMilliseconds = 20
    let harness = try await WorkerHarness()
    let cancelled = Mutex(0)
    let worker = try harness.worker(
      "w1",
      [
        .demo(timeoutMilliseconds: 200, retry: policy) { _, _ in
          do {
            try await Task.sleep(for: .seconds(60))
          } catch {
            cancelled.withLock { $0 += 1 }
            throw error
          }
          return nil
        }
      ])
    try await harness.enqueue(#"{"id":"b1"}"#)
    await harness.waitFor("failed", of: "batch:b1")
    #expect(
      try await harness.field("batch:b1", "error")
        == "timed out after 200 ms, the timeout_ms of the stage (attempt 2, no retries left)")
    #expect(cancelled.withLock { $0 } == 2)
    #expect(try await harness.field("batch:b1", "retry_count") == "1")
    try await worker.stop()
  }

  @Test func aSnoozeChargesNothingAndHoldsNoSlot() async throws {
    let harness = try await WorkerHarness()
    let attempts = Mutex<[Int]>([])
    let worker = try harness.worker(
      "w1",
      [
        .demo(slots: 1) { job, _ in
          guard job.batch == "b1" else { return nil }
          let count = attempts.withLock { attempts in
            attempts.append(job.attempt)
            return attempts.count
          }
          if count < 3 { throw StageError.snooze("not yet", milliseconds: 400) }
          return nil
        }
      ])
    try await harness.enqueue(#"{"id":"b1"}"#)
    await eventually("it snoozes") {
      try await harness.field("batch:b1", "place") == "batchd:delayed"
    }
    try await harness.enqueue(#"{"id":"b2"}"#)
    await harness.waitFor("completed", of: "batch:b2")
    await harness.waitFor("completed", of: "batch:b1")
    #expect(attempts.withLock { $0 } == [1, 1, 1])
    #expect(try await harness.field("batch:b1", "retry_count") == "0")
    #expect(try await harness.redis.cli("HEXISTS", "batchd:batch:b1", "error") == "0")
    #expect(try await harness.events("snoozed").map(\.["reason"]) == ["not yet", "not yet"])
    try await worker.stop()
  }
}
