import Foundation
import Pipeline
import Queue
import Stores
import Synchronization
import TestSupport
import Testing
import Worker

/// One worker under several prefixes: `acme` and `bolt` are at home under the first of two, `cobra` under the second.
@Suite struct PrefixesTests {
  private static let prefixes = ["one", "two"]

  private static func enqueue(
    _ harness: WorkerHarness, _ prefix: String, _ envelope: String
  ) async throws {
    _ = try await harness.redis.cli("LPUSH", "\(prefix):enqueue", envelope)
  }

  private static func wait(
    _ harness: WorkerHarness, _ prefix: String, _ key: String, _ status: String
  ) async {
    await eventually(within: .seconds(30), "\(prefix):\(key) is \(status)") {
      try await harness.redis.cli("HGET", "\(prefix):\(key)", "status") == status
    }
  }

  @Test func eachIsAQueueOfItsOwnAndOneStoreHasAll() async throws {
    let harness = try await WorkerHarness()
    let worker = try harness.worker(
      "w1", [.demo(writesToStore: true) { _, _ in nil }], prefixes: Self.prefixes)
    for (prefix, account) in [("one", "acme"), ("one", "bolt"), ("two", "cobra")] {
      for number in 1...5 {
        try await Self.enqueue(
          harness, prefix,
          #"{"id":"\#(account)-\#(number)","operation":"night","account":"\#(account)"}"#)
      }
    }
    await eventually("all have ended") {
      let one = try await harness.redis.cli("HGET", "one:progress:night", "completed")
      let two = try await harness.redis.cli("HGET", "two:progress:night", "completed")
      return (one, two) == ("10", "5")
    }
    await eventually("the store has them") {
      try await harness.store.history(.init(operation: "night", limit: 100)).count == 15
    }
    // Without a fault nothing is adopted a second time: each prefix has its own epoch in the store.
    for prefix in Self.prefixes {
      let events = try await harness.redis.cli("XRANGE", "\(prefix):events", "-", "+")
      #expect(events.components(separatedBy: "adopted").count == 2, "\(prefix)")
    }
    try await worker.stop()
  }

  /// Two lanes and two gates for one account would let twice as many requests through.
  @Test func anEntryUnderAnotherPrefixThanItsAccountsIsRejected() async throws {
    let harness = try await WorkerHarness()
    let ran = Mutex<[String]>([])
    let worker = try harness.worker(
      "w1",
      [
        .demo { job, _ in
          ran.withLock { $0.append(job.batch) }
          return nil
        }
      ], prefixes: Self.prefixes)
    try await Self.enqueue(harness, "one", #"{"id":"stray","account":"cobra"}"#)
    try await Self.enqueue(harness, "one", #"{"id":"free"}"#)
    await Self.wait(harness, "one", "batch:stray", "rejected")
    let reason = try await harness.redis.cli("HGET", "one:batch:stray", "error")
    #expect(
      reason
        == "account: cobra has its batches under the prefix two: LPUSH two:enqueue, or batchd enqueue, which knows the way"
    )
    await Self.wait(harness, "one", "progress:free", "completed")
    #expect(ran.withLock { $0 } == ["free"])
    try await worker.stop()
  }

  @Test func aChildOfAnAccountThatIsAtHomeElsewhereFailsItsParent() async throws {
    let harness = try await WorkerHarness()
    let worker = try harness.worker(
      "w1",
      [
        .demo { _, context in
          try await context.checkpoint(
            [:],
            children: [.object(["id": .string("child"), "account": .string("cobra")])])
          return nil
        }
      ], prefixes: Self.prefixes)
    try await Self.enqueue(harness, "one", #"{"id":"parent"}"#)
    await Self.wait(harness, "one", "batch:parent", "failed")
    let reason = try await harness.redis.cli("HGET", "one:batch:parent", "error")
    #expect(reason.contains("cobra has its batches under the prefix two"))
    try await worker.stop()
  }

  /// A gate of a service holds for all prefixes, or each would let its own requests through.
  @Test func aGateOfAServiceIsKeptOverAllPrefixes() async throws {
    let harness = try await WorkerHarness()
    let arrivals = Mutex<[ContinuousClock.Instant]>([])
    let worker = try harness.worker(
      "w1",
      [
        .demo(slots: 1) { _, context in
          for _ in 0..<4 {
            try await context.take(gate: "service", intervalMilliseconds: 150)
            arrivals.withLock { $0.append(.now) }
          }
          return nil
        }
      ], prefixes: Self.prefixes
    ) { $0.gateMarginMilliseconds = 60 }
    try await Self.enqueue(harness, "one", #"{"id":"a"}"#)
    try await Self.enqueue(harness, "two", #"{"id":"b"}"#)
    await Self.wait(harness, "one", "progress:a", "completed")
    await Self.wait(harness, "two", "progress:b", "completed")
    let times = arrivals.withLock { $0.sorted() }
    #expect(times.count == 8)
    for (first, second) in zip(times, times.dropFirst()) {
      #expect(second - first >= .milliseconds(145))
    }
    let keys = try await harness.redis.cli("KEYS", "*:gate:service").split(separator: "\n")
    #expect(keys.count == 1, "\(keys)")
    try await worker.stop()
  }

  /// What waits where its account was at home before would be served beside what is enqueued now.
  @Test func whatWaitsFromBeforeAChangeOfThePrefixesWaitsOnAndSaysWhy() async throws {
    let harness = try await WorkerHarness()
    let ran = Mutex(0)
    let pipeline = PipelineDefinition.demo { _, _ in
      ran.withLock { $0 += 1 }
      return nil
    }
    let before = try harness.worker("w1", [pipeline], prefixes: ["one"])
    _ = try await harness.redis.cli("SADD", "one:paused", "all")
    try await Self.enqueue(harness, "one", #"{"id":"b","account":"cobra"}"#)
    await Self.wait(harness, "one", "batch:b", "pending")
    try await before.stop()
    let after = try harness.worker("w1", [pipeline], prefixes: Self.prefixes)
    _ = try await harness.redis.cli("SREM", "one:paused", "all")
    await eventually("it says why it waits") {
      try await harness.redis.cli("HGET", "one:batch:b", "error")
        .contains("has its batches under the prefix two since the prefixes were changed")
    }
    #expect(ran.withLock { $0 } == 0)
    try await after.stop()
  }

  /// Its accounts and gates would have another home than the living workers'.
  @Test func aWorkerWithAnotherListDoesNotStartWhileOthersLive() async throws {
    let harness = try await WorkerHarness()
    let pipeline = PipelineDefinition.demo { _, _ in nil }
    let first = try harness.worker("w1", [pipeline], prefixes: Self.prefixes)
    for prefix in Self.prefixes {
      await eventually { try await harness.redis.cli("ZCARD", "\(prefix):workers") == "1" }
    }
    let second = try harness.worker("w2", [pipeline], prefixes: Self.prefixes.reversed())
    let refused = await #expect(throws: WorkerError.self) { try await second.ended() }
    #expect(refused?.code == .otherPrefixes)
    #expect(
      refused?.message.hasPrefix("worker w1 serves the prefixes one two, this one two one:") == true
    )
    // The first goes on, and once it has left the list is another.
    try await Self.enqueue(harness, "two", #"{"id":"b"}"#)
    await Self.wait(harness, "two", "progress:b", "completed")
    try await first.stop()
    let third = try harness.worker("w2", [pipeline], prefixes: Self.prefixes.reversed())
    try await Self.enqueue(harness, "two", #"{"id":"c","account":"acme"}"#)
    await Self.wait(harness, "two", "progress:c", "completed")
    try await third.stop()
  }

  /// What was refused under its own prefix is nobody else's fault: the rest hands its work back.
  @Test func oneThatFailsLetsTheOthersHandTheirWorkBack() async throws {
    let harness = try await WorkerHarness()
    let pipeline = PipelineDefinition.demo { _, _ in
      try await Task.sleep(for: .seconds(60))
      return nil
    }
    let worker = try harness.worker("w1", [pipeline], prefixes: Self.prefixes)
    try await Self.enqueue(harness, "one", #"{"id":"b"}"#)
    await Self.wait(harness, "one", "batch:b", "processing")
    // Somebody else bears its name under the other one, and is heard.
    _ = try await harness.redis.cli("HSET", "two:worker:w1", "boot", "elsewhere/1")
    let refused = await #expect(throws: QueueError.self) { try await worker.ended() }
    #expect(refused?.code == .twin)
    #expect(
      try await harness.redis.cli("HGET", "one:batch:b", "place") == "one:queue:demo:extraction")
    let events = try await harness.redis.cli("XRANGE", "one:events", "-", "+")
    #expect(!events.contains("crashed"))
  }

  /// The other prefix's Redis was emptied while the batch ran there: nobody would ever end it.
  @Test func theRowOfABatchThatItsPrefixHasForgottenIsTakenOver() async throws {
    let harness = try await WorkerHarness()
    let worker = try harness.worker(
      "w1", [.demo(writesToStore: true) { _, _ in nil }], prefixes: Self.prefixes)
    for id in ["forgotten", "alive"] {
      let job = StageJob(
        batch: id, operation: id, account: nil, pipeline: "demo", stage: .extraction, run: 1,
        attempt: 1, number: 0, fence: Fence(epoch: 90, counter: 9), items: [], itemCount: nil,
        payload: nil, cursor: nil)
      try await harness.store.raise(fence: job.fence, of: job, prefix: "two", forgotten: nil)
    }
    _ = try await harness.redis.cli("HSET", "two:batch:alive", "status", "processing")
    try await Self.enqueue(harness, "one", #"{"id":"forgotten"}"#)
    try await Self.enqueue(harness, "one", #"{"id":"alive"}"#)
    await Self.wait(harness, "one", "progress:forgotten", "completed")
    await eventually("the other waits") {
      try await harness.redis.cli("HGET", "one:batch:alive", "error")
        .contains("batch alive is unfinished under the prefix two, too")
    }
    _ = try await harness.redis.cli("DEL", "two:batch:alive")
    await Self.wait(harness, "one", "progress:alive", "completed")
    #expect(try await harness.redis.cli("HGET", "one:batch:alive", "retry_count") == "0")
    try await worker.stop()
  }

  /// Who died without a word stays registered until a worker's tick, for which one would have to start.
  @Test func theListOfDeadWorkersHoldsUpNobody() async throws {
    let harness = try await WorkerHarness()
    _ = try await harness.redis.cli("HSET", "one:meta", "prefixes", "one three")
    _ = try await harness.redis.cli("ZADD", "one:workers", "1000", "dead")
    let worker = try harness.worker("w1", [.demo { _, _ in nil }], prefixes: Self.prefixes)
    try await Self.enqueue(harness, "one", #"{"id":"b"}"#)
    await Self.wait(harness, "one", "progress:b", "completed")
    #expect(try await harness.redis.cli("HGET", "one:meta", "prefixes") == "one two")
    try await worker.stop()
  }
}
