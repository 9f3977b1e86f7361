import Pipeline
import Queue
import Redis
import TestSupport
import Testing

/// tick moves what time moves, bounded, and one broken record never stops it.
@Suite struct TickTests {
  private static let start = QueueBench.start

  @Test func expiredLeasesAndDueBatchesAreMovedInBoundedSteps() async throws {
    let bench = try await QueueBench()
    try await bench.register()
    for number in 0..<130 {
      try await bench.admit(#"{"id":"l\#(number)"}"#, #"{"id":"d\#(number)","delay":10}"#)
    }
    #expect(try await bench.claim(count: 130).count == 130)
    let early = try await bench.tick(now: Self.start + 9_999)
    #expect(early.moved == 0)
    #expect(early.nextDeadline == Self.start + 10_000)
    let later = Self.start + QueueBench.lease
    #expect(try await bench.tick(now: later).moved == 200)
    let second = try await bench.tick(now: later)
    #expect(second.moved == 60)
    #expect(second.nextDeadline == nil)
    #expect(try await bench.list("suspects:demo:extraction").count == 130)
    #expect(try await bench.list("queue:demo:extraction").count == 130)
  }

  @Test func aBrokenRecordIsShownAndStopsNobody() async throws {
    let bench = try await QueueBench()
    try await bench.register()
    try await bench.admit(#"{"id":"a","delay":5}"#, #"{"id":"z","delay":5}"#)
    _ = try await bench.queue.client.call(["SET", "batchd:batch:m", "not a hash"])
    _ = try await bench.queue.client.call([
      "ZADD", "batchd:delayed", .integer(Self.start), "m", .integer(Self.start), "ghost",
    ])
    #expect(try await bench.tick(now: Self.start + 5_000).moved == 2)
    #expect(Set(try await bench.list("queue:demo:extraction")) == ["a", "z"])
    #expect(try await bench.events("broken") > 0)
    #expect(try await bench.queue.client.call(["EXISTS", "batchd:delayed"]).integer == 0)
    // Wherever its id stands, it stops nobody.
    _ = try await bench.queue.client.call(["RPUSH", "batchd:queue:demo:extraction", "m"])
    _ = try await bench.queue.client.call(["RPUSH", "batchd:members:o", "m"])
    _ = try await bench.queue.client.call(["ZADD", "batchd:leases", .integer(Self.start), "m"])
    #expect(Set(try await bench.claim(count: 9).map(\.lease.batch)) == ["a", "z"])
    #expect(try await bench.queue.recover(maxCrashes: 3, now: Self.start) == 2)
    #expect(
      try await bench.fcall("cancel", ["operation:o"]).text
        == "cancelled 0, cancelling 0, ended before 0")
    // What was in the way lies aside.
    #expect(try await bench.admit(#"{"id":"m"}"#) == [.admitted])
    let aside = try await bench.queue.client.call(["GET", "batchd:aside:batch:m"])
    #expect(aside.text == "not a hash")
  }

  @Test func aBatchWhoseListWasDeletedByHandIsPutBack() async throws {
    let bench = try await QueueBench()
    try await bench.register()
    try await bench.admit(
      #"{"id":"a"}"#, #"{"id":"b","account":"acme"}"#, #"{"id":"c","account":"acme"}"#)
    _ = try await bench.queue.client.call([
      "DEL", "batchd:queue:demo:extraction", "batchd:lane:demo:acme",
    ])
    try await bench.tick(now: Self.start + 30_000)
    #expect(try await bench.events("repaired") == 0)
    try await bench.tick(now: Self.start + 61_000)
    #expect(try await bench.events("repaired") == 3)
    #expect(Set(try await bench.list("queue:demo:extraction")) == ["a", "b"])
    #expect(try await bench.list("lane:demo:acme") == ["c"])
  }

  @Test func whatADeadWorkersIntakesHoldGoesBackInItsOrder() async throws {
    let bench = try await QueueBench("dead")
    try await bench.register()
    try await bench.admit(#"{"id":"a"}"#, #"{"id":"b"}"#, #"{"id":"c"}"#)
    for _ in 0..<2 {
      _ = try await bench.queue.client.call([
        "LMOVE", "batchd:queue:demo:extraction", "batchd:intake:dead:demo:extraction", "RIGHT",
        "LEFT",
      ])
    }
    _ = try await bench.queue.client.call(["LPUSH", "batchd:enqueue", #"{"id":"d"}"#])
    #expect(try await bench.queue.intake(count: 9, now: Self.start).count == 1)
    let other = try await QueueBench("w2", on: bench.redis)
    try await other.register(now: Self.start + 29_999)
    try await other.tick(now: Self.start + 29_999)
    #expect(try await bench.list("queue:demo:extraction") == ["c"])
    try await other.tick(now: Self.start + 30_000)
    #expect(try await bench.list("queue:demo:extraction") == ["c", "b", "a"])
    #expect(try await bench.list("enqueue") == [#"{"id":"d"}"#])
    #expect(try await bench.events("worker_lost") == 1)
    let workers = try await bench.queue.client.call(["ZRANGE", "batchd:workers", 0, -1])
    #expect(workers.array?.compactMap(\.text) == ["w2"])
    // An entry that was taken over is left to the one that has it now.
    let answers = try await bench.queue.admit(
      bench.queue.check(
        [Array(#"{"id":"d"}"#.utf8)], defaultPipeline: "demo", now: Self.start + 30_000),
      now: Self.start + 30_000)
    #expect(answers == [.gone])
    // It was only silent: its next beat brings it back, without an end to its record.
    _ = try await bench.queue.renew(
      [], boot: "1", lists: [QueueBench.list], counters: [], leaseMilliseconds: QueueBench.lease,
      now: Self.start + 31_000)
    #expect(try await bench.queue.client.call(["TTL", "batchd:worker:dead"]).integer == -1)
  }

  @Test func aListThatIsNoneTakesNoIntakeWithIt() async throws {
    let bench = try await QueueBench("dead")
    try await bench.register()
    try await bench.admit(#"{"id":"a"}"#)
    let queue = RedisArgument.text("batchd:queue:demo:extraction")
    let intake = "intake:dead:demo:extraction"
    _ = try await bench.queue.client.call(["RENAME", queue, .text("batchd:\(intake)")])
    _ = try await bench.queue.client.call(["SET", queue, "not a list"])
    try await bench.tick(now: Self.start + 30_001)
    #expect(try await bench.list("queue:demo:extraction") == ["a"])
    #expect(try await bench.queue.client.call(["KEYS", "batchd:aside:*"]).array?.count == 1)
  }

  @Test func idsThatHaveNoPlaceInAListAreDroppedWithAnEvent() async throws {
    let bench = try await QueueBench()
    try await bench.register()
    try await bench.admit(#"{"id":"a"}"#, #"{"id":"cancelled"}"#)
    _ = try await bench.fcall("cancel", ["cancelled", .integer(Self.start)])
    _ = try await bench.queue.client.call([
      "RPUSH", "batchd:queue:demo:extraction", "by-hand", "a",
    ])
    #expect(try await bench.claim(count: 9).map(\.lease.batch) == ["a"])
    #expect(try await bench.events("stray") == 3)
    #expect(try await bench.list("queue:demo:extraction") == [])
    #expect(try await bench.claim(count: 9).isEmpty)
  }

  @Test func aCrashedBatchIsChargedOnceUntilItRanAlone() async throws {
    let bench = try await QueueBench()
    try await bench.register()
    try await bench.admit(#"{"id":"a"}"#)
    var now = Self.start
    var claims = try await bench.claim(now: now)
    for crashes in 1...2 {
      now += QueueBench.lease
      try await bench.tick(now: now)
      #expect(try await bench.field("batch:a", "crashes") == "\(crashes)")
      #expect(try await bench.claim(now: now).isEmpty)
      claims = try await bench.claim(from: .suspects, now: now)
      #expect(claims.map(\.isAlone) == [true])
    }
    // Work that was kept clears it.
    let state = try await bench.queue.checkpoint(
      claims[0], [:], children: [.object(["id": .string("child")])],
      leaseMilliseconds: QueueBench.lease, now: now)
    #expect(state == .held)
    #expect(try await bench.field("batch:a", "crashes") == "0")
    for _ in 1...3 {
      now += QueueBench.lease
      try await bench.tick(now: now)
      _ = try await bench.claim(from: .suspects, now: now)
    }
    #expect(try await bench.field("batch:a", "status") == "failed")
    #expect(
      try await bench.field("batch:a", "error")
        == "poison: its worker died 3 times while it ran; the last was w1: its log says why; mend the cause, then retry the batch"
    )
  }
}
