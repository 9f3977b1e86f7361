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
      ("output", lease + ["", 0, "{}"]),
      ("fail", lease + ["", "no"]), ("snooze", lease + [1, "no"]), ("hand_back", [1] + lease),
      ("tick", ["", "", 3]), ("recover", ["w1", 0, 9, 3]), ("leave", ["w1"]),
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
    try await bench.readopt()
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
    let tick = try await bench.tick(now: QueueBench.start + age)
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
      try await bench.readopt()
      other.storeEpoch.raise(bench.storeEpoch.value)
    }
    var given = try await bench.claim(count: 2).map(\.lease)
    given += try await other.claim().map(\.lease)
    #expect(given.count == 3)
    try await bench.restore(backup)
    var again: [Lease] = []
    for _ in 0..<2 {
      for worker in [bench, other] {
        try await worker.tick(now: QueueBench.start)
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

  /// By whatever call: nothing is promised or taken away by a time that the caller does not expect.
  @Test(arguments: [-60_000, 60_000]) func aClockThatJumpedIsNoticedByEveryCall(_ step: Int)
    async throws
  {
    let bench = try await QueueBench()
    try await bench.register()
    try await bench.admit(#"{"id":"a"}"#)
    _ = try await bench.claim()
    let now = QueueBench.start + step
    func tick(expecting expected: Int) async throws {
      _ = try await bench.fcall("tick", [.text("1 \(expected)"), "", "", 3, .integer(now)])
    }
    for far in [-5_001, 5_001] {
      let error = await #expect(throws: RedisError.self) { try await tick(expecting: now + far) }
      #expect(error?.serverCode == "CLOCK")
    }
    #expect(try await bench.field("batch:a", "place") == "batchd:leases")
    for near in [-5_000, 5_000] { try await tick(expecting: now + near) }
    let place = step > 0 ? "batchd:suspects:demo:extraction" : "batchd:leases"
    #expect(try await bench.field("batch:a", "place") == place)
  }

  /// Seen in the simulation: back, a process starts and claims, forward again; who lived before both saw no step.
  @Test func aStepBackIsNoticedByWhoComesAfterIt() async throws {
    let bench = try await QueueBench()
    try await bench.register()
    let now = QueueBench.start - 5_000
    _ = try await QueueBench("w2", on: bench.redis, now: now)
    #expect(try await bench.field("meta", "epoch") == "1")
    let third = try await QueueBench("w3", on: bench.redis, now: now - 1)
    try await third.queue.readopt()
    #expect(third.queue.adoption.epoch == 2)
    #expect(try await bench.field("meta", "jumped_epoch") == "2")
    #expect(try await bench.field("meta", "clock_ms") == "\(now - 1)")
  }

  /// A process that came after a step forward made the time of its beat known, and the clock is right again.
  @Test func aStepBackIsNoticedByTheNextBeatOfWhoNeverSawTheOneForward() async throws {
    let bench = try await QueueBench()
    try await bench.register()
    let late = try await QueueBench("w2", on: bench.redis, now: QueueBench.start + 3_600_000)
    try await late.register(now: QueueBench.start + 3_600_000)
    func beat(_ now: Int) async throws {
      _ = try await bench.fcall(
        "renew", [.text("1 \(now)"), "w1", "1", 15_000, 0, 0, 0, 0, .integer(now)])
    }
    let error = await #expect(throws: RedisError.self) { try await beat(QueueBench.start) }
    #expect(error?.serverCode == "CLOCK")
    // What waits is where it should be by the clock that the caller knows.
    try await bench.admit(#"{"id":"a","delay":60}"#)
    let now = RedisArgument.integer(QueueBench.start)
    let reply = try await bench.fcall("adopt", [1, .text(" \(QueueBench.start)"), now])
    #expect(reply.array?.map(\.integer) == [2, QueueBench.start, 2])
    _ = try await bench.tick(now: QueueBench.start)
    let due = try await bench.queue.client.call(["ZSCORE", "batchd:delayed", "a"])
    #expect(due.text == "\(QueueBench.start + 60_000)")
  }

  /// Who came after a step forward would end leases that live.
  @Test func nobodyEndsALeaseBeforeItHasKnownTheClockForAsLong() async throws {
    let bench = try await QueueBench()
    try await bench.register()
    try await bench.admit(#"{"id":"a"}"#)
    _ = try await bench.claim()
    let now = QueueBench.start + 60_000
    let from = now + QueueBench.lease
    func tick(_ now: Int) async throws -> Int? {
      try await bench.fcall("tick", [1, .integer(from), "", 3, .integer(now)]).array?[2].integer
    }
    // Soon again, for somebody else may know better.
    #expect(try await tick(now) == now + 1_000)
    #expect(try await tick(from - 1) == from)
    #expect(try await bench.field("batch:a", "crashes") == nil)
    _ = try await tick(from)
    #expect(try await bench.field("batch:a", "crashes") == "1")
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
    let reply = try await bench.fcall("adopt", [0, "", .integer(QueueBench.start)])
    #expect(reply.array?[0].integer == 1)
  }

  @Test func aRedisThatForgotARestartDoesNotTakeTheWorkerForItsTwin() async throws {
    let bench = try await QueueBench()
    try await bench.register(boot: "1")
    _ = try await bench.queue.client.call(["COPY", "batchd:worker:w1", "earlier"])
    try await bench.register(boot: "2")
    _ = try await bench.queue.client.call(["COPY", "earlier", "batchd:worker:w1", "REPLACE"])
    bench.storeEpoch.raise(9)
    try await bench.readopt()
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
