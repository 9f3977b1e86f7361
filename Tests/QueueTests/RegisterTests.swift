import Pipeline
import Queue
import Redis
import TestSupport
import Testing

/// Who may work here.
@Suite struct RegisterTests {
  @Test func aLiveWorkerOfTheSameNameOnAnotherHostIsRefused() async throws {
    let first = try await QueueBench()
    try await first.register(host: "one")
    let second = try await QueueBench(on: first.redis)
    let error = await #expect(throws: QueueError.self) {
      try await second.register(host: "two", boot: "2", now: QueueBench.start + 29_999)
    }
    #expect(error?.code == .twin)
    #expect(
      error?.message
        == "TWIN worker w1 runs on host one with pid 7; give this one another instance name, or a cloned machine an /etc/machine-id of its own"
    )
    // Once it is silent the name is free; should it come back, it is told.
    try await second.register(host: "two", boot: "2", now: QueueBench.start + 30_000)
    let late = await #expect(throws: QueueError.self) {
      try await first.queue.renew(
        [], boot: "1", lists: [], counters: [], leaseMilliseconds: QueueBench.lease,
        now: QueueBench.start + 31_000)
    }
    #expect(late?.code == .twin)
    #expect(late?.message == "TWIN worker w1 was started again elsewhere (boot 2)")
  }

  /// A clone bears the name of its host as well: only the reach of the lock tells them apart.
  @Test func aCloneOfTheHostIsRefused() async throws {
    let first = try await QueueBench()
    try await first.register(boot: "one/1")
    let clone = try await QueueBench(on: first.redis)
    let error = await #expect(throws: QueueError.self) {
      try await clone.register(boot: "other/2", now: QueueBench.start + 29_999)
    }
    #expect(error?.code == .twin)
    try await first.register(boot: "one/3", now: QueueBench.start + 29_999)
  }

  @Test func aProcessThatRegistersAgainKeepsWhatItHas() async throws {
    let bench = try await QueueBench()
    try await bench.register()
    let started = try await bench.field("worker:w1", "started_at")
    for id in ["a", "b"] {
      _ = try await bench.queue.client.call(["LPUSH", "batchd:enqueue", .text(#"{"id":"\#(id)"}"#)])
    }
    #expect(try await bench.queue.intake(count: 9, now: QueueBench.start).count == 2)
    try await bench.register(now: QueueBench.start + 1_000)
    #expect(try await bench.list("intake:w1:enqueue").count == 2)
    #expect(try await bench.field("worker:w1", "started_at") == started)
    #expect(try await bench.events("worker_started") == 1)
    try await bench.register(boot: "2", now: QueueBench.start + 2_000)
    #expect(try await bench.list("intake:w1:enqueue") == [])
    #expect(try await bench.field("worker:w1", "started_at") != started)
    #expect(try await bench.events("worker_started") == 2)
  }

  /// While a release that adds a stage is rolled out, workers differ: each start says so, and hinders nobody.
  @Test func whoDiffersFromALivingWorkerInItsStagesIsTold() async throws {
    let first = try await QueueBench()
    let second = try await QueueBench("w2", on: first.redis)
    func register(
      _ bench: QueueBench, _ stages: [Stage], boot: String = "1", after milliseconds: Int = 0
    ) async throws -> [Queue.StageDifference] {
      try await bench.queue.register(
        boot: boot, host: "here", pid: 7, version: "test", store: "s1", slots: 4,
        quietMilliseconds: 3_600_000,
        pipelines: [
          .init(name: "same", stages: [.setup], counts: .setup),
          .init(name: "demo", stages: stages, counts: .setup),
        ], now: QueueBench.start + milliseconds)
    }
    #expect(try await register(first, [.setup]) == [])
    let told = try await register(second, [.setup, .validation])
    #expect(told.map(\.pipeline) == ["demo"] && told.first?.stages == "setup,validation")
    #expect(told.first?.otherWorker == "w1" && told.first?.otherStages == "setup")
    #expect(try await first.events("stages_differ") == 1)
    #expect(try await first.field("pipelines", "demo") == "setup,validation|setup")
    // The last of the old ones is replaced: its own earlier life is nobody else.
    #expect(try await register(first, [.setup, .validation], boot: "2") == [])
    // Nor is a worker that has been silent for long.
    #expect(try await register(second, [.setup], boot: "2", after: 30_001) == [])
    #expect(try await first.events("stages_differ") == 1)
  }

  @Test func anotherResultsStoreIsRefusedWithTheRemedy() async throws {
    let bench = try await QueueBench()
    try await bench.register(store: "s1")
    let other = try await QueueBench("w2", on: bench.redis)
    let error = await #expect(throws: QueueError.self) { try await other.register(store: "s2") }
    #expect(error?.code == .store)
    #expect(
      error?.message
        == "STORE results go to store s1, this worker is configured with store s2; use the same store, or HDEL batchd:store identity to move on purpose"
    )
    #expect(try await bench.field("worker:w2", "host") == nil)
    _ = try await bench.queue.client.call(["HDEL", "batchd:store", "identity"])
    try await other.register(store: "s2")
    #expect(try await bench.field("store", "identity") == "s2")
  }

  @Test func aRestartedWorkerTakesBackItsOwnLeasesOnly() async throws {
    let bench = try await QueueBench()
    let other = try await QueueBench("w2", on: bench.redis)
    try await bench.register()
    try await other.register()
    for number in 0..<600 { try await bench.admit(#"{"id":"b\#(number)"}"#) }
    #expect(try await bench.claim(count: 550).count == 550)
    #expect(try await other.claim(count: 50).count == 50)
    try await bench.register(boot: "2")
    #expect(try await bench.queue.recover(maxCrashes: 3, now: QueueBench.start) == 550)
    #expect(try await bench.queue.client.call(["ZCARD", "batchd:leases"]).integer == 50)
    #expect(try await bench.list("suspects:demo:extraction").count == 550)
  }

  @Test func whatItHandedBackIsNoLeaseOfIts() async throws {
    let bench = try await QueueBench()
    try await bench.register()
    try await bench.admit(#"{"id":"a"}"#)
    try await bench.queue.handBack(bench.claim().map(\.lease), now: QueueBench.start)
    _ = try await bench.queue.client.call(["ZADD", "batchd:leases", 1, "a"])
    try await bench.register(boot: "2")
    #expect(try await bench.queue.recover(maxCrashes: 3, now: QueueBench.start) == 0)
    #expect(try await bench.field("batch:a", "crashes") == nil)
    // Nor is what cannot be worked with: tick ends it.
    #expect(try await bench.claim().count == 1)
    _ = try await bench.queue.client.call(["HSET", "batchd:batch:a", "run", "x"])
    #expect(try await bench.queue.recover(maxCrashes: 3, now: QueueBench.start) == 0)
    #expect(try await bench.list("suspects:demo:extraction").isEmpty)
  }
}
