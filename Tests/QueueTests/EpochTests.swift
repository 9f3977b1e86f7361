import Pipeline
import Queue
import Redis
import TestSupport
import Testing

/// Fences only grow, and a Redis that may have forgotten something begins a new epoch.
@Suite struct EpochTests {
  @Test func fencesOnlyGrow() async throws {
    let bench = try await QueueBench()
    try await bench.register()
    try await bench.admit(#"{"id":"a"}"#, #"{"id":"b"}"#, #"{"id":"c"}"#)
    var fences: [Fence] = []
    for _ in 0..<5 {
      let claims = try await bench.claim(count: 2)
      fences += claims.map(\.lease.fence)
      try await bench.queue.handBack(claims.map(\.lease), now: QueueBench.start)
    }
    #expect(fences.count == 10)
    #expect(zip(fences, fences.dropFirst()).allSatisfy { $0 < $1 })
  }

  @Test func adoptRaisesTheEpochAboveTheStoresAndOnlyThen() async throws {
    let bench = try await QueueBench(storeEpoch: 41)
    try await bench.register()
    #expect(bench.queue.adoption.epoch == 42)
    #expect(bench.storeEpoch.value == 42)
    func adopt(store: Int, seen: RedisArgument = "") async throws -> Int? {
      try await bench.fcall("adopt", [.integer(store), seen, .integer(QueueBench.start)])
        .array?[0].integer
    }
    #expect(try await adopt(store: 7) == 42)
    #expect(try await adopt(store: 42) == 42)
    #expect(try await adopt(store: 43) == 44)
    // Of two that saw the clock jump in one epoch the first raises it.
    #expect(try await adopt(store: 0, seen: 44) == 45)
    #expect(try await adopt(store: 0, seen: 44) == 45)
  }

  @Test func everyVerbOfAnotherEpochIsRefused() async throws {
    let bench = try await QueueBench()
    try await bench.register()
    try await bench.admit(#"{"id":"a"}"#)
    let lease = Array(try await bench.claim()[0].lease)
    let before = try await bench.queue.client.call(["HGETALL", "batchd:batch:a"])
    let verbs: [(String, [RedisArgument])] = [
      ("intake", ["w1", 1, 100]), ("admit", ["w1", 0]),
      ("claim", ["w1", "r", "demo", "extraction", "queue", 1, 15_000]),
      ("renew", ["w1", "1", 15_000, 0, 0, 0, 0]),
      ("checkpoint", lease + [15_000, "0", "", 0, 0]), ("finish", [15_000, 0]),
      ("fail", lease + ["", "no"]), ("snooze", lease + [1, "no"]), ("hand_back", [1] + lease),
      ("tick", ["", 5_000, 3]), ("recover", ["w1", 0, 9, 3]), ("leave", ["w1"]),
      ("outbox", ["w1", 9]), ("archive", [1, 1, 0]), ("gate_take", ["g", 1, 1, 1, "", ""]),
      ("gate_confirm", ["g", 1, 0, 1, 1, "", ""]), ("gate_close", ["g", 1, "no"]),
      ("register", ["w1", "1", "h", 1, "v", "s1", 1, "", 0, 0]),
    ]
    for (verb, arguments) in verbs {
      for epoch: RedisArgument in [0, 2] {
        let error = await #expect(throws: RedisError.self, "\(verb)") {
          try await bench.fcall(verb, [epoch] + arguments)
        }
        #expect(error?.serverCode == "EPOCH", "\(verb)")
      }
    }
    #expect(try await bench.queue.client.call(["HGETALL", "batchd:batch:a"]) == before)
  }

  @Test(arguments: [0, QueueBench.lease])
  func leasesOfAnOlderEpochAreLostAndReturnedUncharged(after age: Int) async throws {
    let bench = try await QueueBench()
    try await bench.register()
    try await bench.admit(#"{"id":"a"}"#, #"{"id":"b"}"#, #"{"id":"c"}"#)
    let claims = try await bench.claim(count: 2)
    // The store knows of a later epoch: this Redis is a backup.
    bench.storeEpoch.raise(9)
    try await bench.queue.readopt()
    #expect(bench.queue.adoption.epoch == 10)
    let beat = try await bench.queue.renew(
      claims.map(\.lease), boot: "1", lists: [QueueBench.list], counters: [],
      leaseMilliseconds: QueueBench.lease, now: QueueBench.start)
    #expect(beat.leases == [.lost, .lost])
    let finished = try await bench.queue.finish(
      [.init(claim: claims[0], output: nil, goesOn: false)], leaseMilliseconds: QueueBench.lease,
      now: QueueBench.start)
    guard case .lost = finished[0] else {
      Issue.record("a lease of an older epoch was settled: \(finished[0])")
      return
    }
    let tick = try await bench.queue.tick(maxCrashes: 3, now: QueueBench.start + age)
    #expect(tick.moved == 2)
    #expect(Set(try await bench.list("queue:demo:extraction").suffix(2)) == ["a", "b"])
    #expect(try await bench.list("queue:demo:extraction").first == "c")
    #expect(try await bench.field("batch:a", "crashes") == nil)
    #expect(try await bench.claim()[0].lease.fence > claims[1].lease.fence)
  }

  /// Restored into the running server, so that no connection breaks. With `age` the backup is of an older epoch;
  /// without, of the same.
  @Test(arguments: [0, 3])
  func aBackupRestoredUnderRunningWorkersBeginsANewEpoch(age: Int) async throws {
    let bench = try await QueueBench()
    let other = try await QueueBench("w2", on: bench.redis, storeEpoch: 1)
    try await bench.register()
    try await other.register()
    try await bench.admit(#"{"id":"a"}"#, #"{"id":"b"}"#, #"{"id":"c"}"#)
    let backup = try await bench.backup()
    if age > 0 {
      bench.storeEpoch.raise(1 + age)
      try await bench.queue.readopt()
      other.storeEpoch.raise(bench.storeEpoch.value)
    }
    var given = try await bench.claim(count: 2).map(\.lease)
    given += try await other.claim().map(\.lease)
    #expect(given.count == 3)
    try await bench.restore(backup)
    var again: [Lease] = []
    for _ in 0..<2 {
      for worker in [bench, other] {
        _ = try await worker.queue.tick(maxCrashes: 3, now: QueueBench.start)
        again += try await worker.claim(count: 3).map(\.lease)
      }
    }
    #expect(again.map(\.batch).sorted() == ["a", "b", "c"], "all derived again, each once")
    #expect(again.map(\.fence).min()! > given.map(\.fence).max()!)
    #expect(bench.queue.adoption.epoch > given[0].fence.epoch)
    #expect(other.queue.adoption.epoch == bench.queue.adoption.epoch)
    #expect(bench.storeEpoch.value == bench.queue.adoption.epoch)
    for id in ["a", "b", "c"] {
      #expect(try await bench.field("batch:\(id)", "crashes") == nil)
      #expect(try await bench.field("batch:\(id)", "attempt") == "1")
    }
    let beat = try await other.queue.renew(
      [given[2]], boot: "1", lists: [], counters: [], leaseMilliseconds: QueueBench.lease,
      now: QueueBench.start)
    #expect(beat.leases == [.lost])
  }

  @Test func aClockThatJumpedReapsNothing() async throws {
    let bench = try await QueueBench()
    try await bench.register()
    try await bench.admit(#"{"id":"a"}"#)
    _ = try await bench.claim()
    let later = QueueBench.start + 60_000
    let reply = try await bench.fcall(
      "tick", [1, .integer(later - 5_001), 5_000, 3, .integer(later)])
    #expect(reply.array?[0].text == "clock")
    #expect(try await bench.field("batch:a", "place") == "batchd:leases")
    let steady = try await bench.fcall(
      "tick", [1, .integer(later - 4_999), 5_000, 3, .integer(later)])
    #expect(steady.array?[0].text == "ok")
    #expect(try await bench.field("batch:a", "place") == "batchd:suspects:demo:extraction")
  }

  @Test func aRedisThatForgotTheWorkersIsToldOfThemAgain() async throws {
    let bench = try await QueueBench()
    try await bench.register()
    _ = try await bench.queue.client.call(["FLUSHALL"])
    #expect(try await bench.admit(#"{"id":"a"}"#) == [.admitted])
    #expect(try await bench.admit(#"{"id":"b","pipeline":"no"}"#) == [.rejected])
  }

  @Test func anEpochDeletedByHandBeginsAnew() async throws {
    let bench = try await QueueBench()
    try await bench.register()
    _ = try await bench.queue.client.call(["HDEL", "batchd:meta", "epoch"])
    #expect(try await bench.fcall("adopt", [0, ""]).array?[0].integer == 1)
  }

  @Test func aRedisThatForgotARestartDoesNotTakeTheWorkerForItsTwin() async throws {
    let bench = try await QueueBench()
    try await bench.register(boot: "1")
    _ = try await bench.queue.client.call(["COPY", "batchd:worker:w1", "earlier"])
    try await bench.register(boot: "2")
    _ = try await bench.queue.client.call(["COPY", "earlier", "batchd:worker:w1", "REPLACE"])
    bench.storeEpoch.raise(9)
    try await bench.queue.readopt()
    func beat(_ boot: String) async throws {
      _ = try await bench.queue.renew(
        [], boot: boot, lists: [], counters: [], leaseMilliseconds: QueueBench.lease,
        now: QueueBench.start)
    }
    try await beat("2")
    #expect(try await bench.field("worker:w1", "boot") == "2")
    let error = await #expect(throws: QueueError.self) { try await beat("1") }
    #expect(error?.code == .twin)
  }
}
