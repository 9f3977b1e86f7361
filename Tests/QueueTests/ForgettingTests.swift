import Pipeline
import Queue
import Redis
import TestSupport
import Testing

/// What nobody needs any more leaves the lists of names, where no expiry of Redis's reaches.
@Suite struct ForgettingTests {
  private static let start = QueueBench.start
  private static let day = 86_400_000

  private func operations(_ bench: QueueBench) async throws -> Set<String> {
    let reply = try await bench.queue.client.call(["ZRANGE", "batchd:operations", 0, -1])
    return Set((reply.array ?? []).compactMap(\.text))
  }

  /// Operations with a failed batch stay for a month: those that expire after a day stand behind them.
  @Test func anExpiredOperationLeavesTheListWhoeverStandsBeforeIt() async throws {
    let bench = try await QueueBench()
    try await bench.register()
    for number in 0..<30 {
      _ = try await bench.queue.client.call([
        "ZADD", "batchd:operations", .integer(Self.start + number), .text("kept\(number)"),
      ])
      _ = try await bench.queue.client.call([
        "HSET", .text("batchd:progress:kept\(number)"), "status", "failed",
      ])
    }
    _ = try await bench.queue.client.call([
      "ZADD", "batchd:operations", .integer(Self.start + 99), "gone",
    ])
    try await bench.tick(now: Self.start + 2 * Self.day)
    #expect(try await operations(bench) == Set((0..<30).map { "kept\($0)" }))
  }

  @Test func aRoundIsMadeInBoundedStepsAndGoesOnAtOnce() async throws {
    let bench = try await QueueBench()
    try await bench.register()
    for first in stride(from: 0, to: 2_500, by: 500) {
      let pairs: [RedisArgument] = (first..<first + 500).flatMap {
        [.integer(Self.start + $0), .text("o\($0)")]
      }
      _ = try await bench.queue.client.call(["ZADD", "batchd:operations"] + pairs)
    }
    let now = Self.start + Self.day
    for left in [1_500, 500] {
      #expect(try await bench.tick(now: now).nextDeadline == now)
      #expect(try await operations(bench).count == left)
    }
    #expect(try await bench.tick(now: now).nextDeadline == nil)
    #expect(try await operations(bench).isEmpty)
  }

  /// Its declared size is never reached, for one of its entries was rejected.
  @Test func anOperationThatNeverFinishesEndsWithTheLongestRetention() async throws {
    let bench = try await QueueBench()
    try await bench.register()
    try await bench.admit(
      #"{"id":"a","operation":"o","account":"acme","size":2}"#,
      #"{"id":"b","operation":"o","account":"acme","itmes":[]}"#,
      #"{"id":"c","operation":"waits","size":2,"delay":31000000}"#)
    _ = try await bench.fcall("cancel", ["a", .integer(Self.start)])
    let keys = ["progress:o", "progress:o:acme", "accounts:o", "members:o"]
    func present() async throws -> Int? {
      try await bench.queue.client.call(["EXISTS"] + keys.map { .text("batchd:\($0)") }).integer
    }
    try await bench.tick(now: Self.start + 30 * Self.day)
    #expect(try await present() == keys.count)
    let later = Self.start + 31 * Self.day
    try await bench.tick(now: later)
    #expect(try await present() == 0)
    #expect(try await bench.events("abandoned") == 1)
    try await bench.tick(now: later + 60_000)
    #expect(try await operations(bench) == ["waits"], "a batch of it waits for its time")
    #expect(try await bench.field("progress:waits", "pending") == "1")
  }

  @Test func anEndedOperationStaysUntilTheStoreHasIt() async throws {
    let bench = try await QueueBench()
    try await bench.register()
    try await bench.admit(#"{"id":"a"}"#)
    _ = try await bench.fcall("cancel", ["a", .integer(Self.start)])
    try await bench.tick(now: Self.start + 31 * Self.day)
    #expect(try await bench.field("progress:a", "status") == "cancelled")
    #expect(try await bench.events("abandoned") == 0)
  }

  @Test func roundsAreMadeOnceAMinute() async throws {
    let bench = try await QueueBench()
    try await bench.register()
    try await bench.tick(now: Self.start)
    _ = try await bench.queue.client.call([
      "ZADD", "batchd:operations", .integer(Self.start), "gone",
    ])
    for (after, left) in [(49_999, ["gone"]), (50_000, [])] {
      try await bench.tick(now: Self.start + after)
      #expect(try await operations(bench) == Set(left))
    }
  }

  @Test func failuresAreForgottenInBoundedSteps() async throws {
    let bench = try await QueueBench()
    try await bench.register()
    let pairs: [RedisArgument] = (0..<1_500).flatMap {
      [.integer(Self.start + $0), .text("b\($0)")]
    }
    _ = try await bench.queue.client.call(["ZADD", "batchd:failed"] + pairs)
    let now = Self.start + 1_498 + 30 * Self.day
    for (left, next) in [(500, now), (1, nil)] as [(Int, Int?)] {
      #expect(try await bench.tick(now: now).nextDeadline == next)
      #expect(try await bench.queue.client.call(["ZCARD", "batchd:failed"]).integer == left)
    }
  }

  @Test func anOperationThatLivesForgetsMembersThatHaveExpired() async throws {
    let bench = try await QueueBench()
    try await bench.register()
    func end(_ ids: String...) async throws {
      for id in ids { _ = try await bench.fcall("cancel", [.text(id), .integer(Self.start)]) }
      let ended = try await bench.queue.outbox(count: 10, now: Self.start)
      #expect(ended.count == ids.count)
      try await bench.queue.archive(ended, now: Self.start)
    }
    try await bench.admit(
      #"{"id":"a","operation":"o"}"#, #"{"id":"b","operation":"o"}"#,
      #"{"id":"c","operation":"o"}"#, #"{"id":"d","operation":"o"}"#)
    try await end("a", "b")
    #expect(try await bench.list("members:o") == ["a", "b", "c", "d"])
    // Their expiry, which is Redis's.
    _ = try await bench.queue.client.call(["DEL", "batchd:batch:a", "batchd:batch:b"])
    _ = try await bench.queue.client.call(["SADD", "batchd:cancelling", "o"])
    try await end("c")
    #expect(try await bench.list("members:o").count == 4, "a cancellation counts from the front")
    _ = try await bench.queue.client.call(["DEL", "batchd:cancelling"])
    try await bench.admit(#"{"id":"e","operation":"o"}"#)
    try await end("d")
    #expect(try await bench.list("members:o") == ["c", "d", "e"])
  }

  @Test func aWorkerThatLeftLeavesTheOutboxToo() async throws {
    let bench = try await QueueBench()
    try await bench.register()
    try await bench.admit(#"{"id":"a"}"#)
    _ = try await bench.fcall("cancel", ["a", .integer(Self.start)])
    let ended = try await bench.queue.outbox(count: 10, now: Self.start)
    try await bench.queue.leave(now: Self.start)
    let other = try await QueueBench("w2", on: bench.redis)
    try await other.register()
    func consumers() async throws -> Int? {
      try await bench.queue.client.call(["XINFO", "CONSUMERS", "batchd:ended", "store"]).array?
        .count
    }
    try await other.tick(now: Self.start + 3_600_001)
    #expect(try await consumers() == 1, "what it took is not written yet")
    try await other.queue.archive(ended, now: Self.start)
    try await other.tick(now: Self.start + 3_600_002)
    #expect(try await consumers() == 0)
    #expect(try await bench.queue.client.call(["ZSCORE", "batchd:departed", "w1"]).isNull)
  }

  @Test func whatAWorkerTookFromTheOutboxIsItsOwnUntilItReturns() async throws {
    let bench = try await QueueBench()
    try await bench.register()
    let other = try await QueueBench("w2", on: bench.redis)
    try await other.register()
    try await bench.admit(#"{"id":"a"}"#)
    _ = try await bench.fcall("cancel", ["a", .integer(Self.start)])
    #expect(try await bench.queue.outbox(count: 10, now: Self.start).count == 1)
    #expect(try await other.queue.outbox(count: 10, now: Self.start).isEmpty)
    #expect(try await bench.queue.outbox(count: 10, now: Self.start).count == 1, "a lost reply")
    try await bench.register(boot: "2")
    let ended = try await other.queue.outbox(count: 10, now: Self.start)
    #expect(ended.flatMap(\.batches).map(\.batch) == ["a"])
  }

  @Test func theOutboxGivesSomeMoreThanWasAskedForAtMost() async throws {
    let bench = try await QueueBench()
    try await bench.register()
    for id in 1...20 {
      try await bench.admit(#"{"id":"b\#(id)"}"#)
      _ = try await bench.fcall("cancel", [.text("b\(id)"), .integer(Self.start)])
    }
    var given = 0
    for expected in [8, 8, 4] {
      let ended = try await bench.queue.outbox(count: 7, now: Self.start)
      #expect(ended.count == expected)
      given += ended.count
      // What it took and did not acknowledge comes first.
      #expect(try await bench.queue.outbox(count: 7, now: Self.start).count == expected)
      try await bench.queue.archive(ended, now: Self.start)
    }
    #expect(given == 20)
  }

  @Test func aRejectedIdIsKeptAsLongAsAnyOther() async throws {
    let bench = try await QueueBench()
    try await bench.register()
    try await bench.admit(#"{"id":"a","itmes":[]}"#)
    let expiry = try await bench.queue.client.call(["PEXPIRETIME", "batchd:batch:a"]).integer
    #expect(expiry == Self.start + Self.day)
  }
}
