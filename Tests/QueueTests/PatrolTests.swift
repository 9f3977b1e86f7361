import Pipeline
import Queue
import Redis
import Testing

/// The walk of tick over all that lives: it mends what is broken, and leaves alone what is not.
@Suite struct PatrolTests {
  private static let start = QueueBench.start

  private func seeded(_ envelopes: String...) async throws -> QueueBench {
    let bench = try await QueueBench()
    try await bench.register()
    for envelope in envelopes { try await bench.admit(envelope) }
    return bench
  }

  private func tick(_ bench: QueueBench, after milliseconds: Int) async throws {
    try await bench.tick(now: Self.start + milliseconds)
  }

  private func score(_ bench: QueueBench, _ key: String, _ id: String) async throws -> Int? {
    try await bench.queue.client.call(["ZSCORE", .text("batchd:\(key)"), .text(id)]).text
      .flatMap { Int($0) }
  }

  @discardableResult
  private func redis(_ bench: QueueBench, _ words: RedisArgument...) async throws -> RedisValue {
    try await bench.queue.client.call(words)
  }

  private func renew(_ bench: QueueBench, _ lease: Lease, after milliseconds: Int) async throws
    -> [LeaseState]
  {
    try await bench.queue.renew(
      [lease], boot: "1", lists: [], counters: [], leaseMilliseconds: QueueBench.lease,
      now: Self.start + milliseconds
    ).leases
  }

  @Test func whatIsInItsPlaceStaysThere() async throws {
    let bench = try await seeded(#"{"id":"leased"}"#, #"{"id":"queued"}"#)
    let lease = try await bench.claim()[0].lease
    _ = try await bench.fcall("pause", ["account:paused"])
    try await bench.admit(
      #"{"id":"holder","account":"x"}"#, #"{"id":"waiter","account":"x"}"#,
      #"{"id":"parked","account":"paused"}"#, #"{"id":"delayed","account":"y","delay":600}"#)
    for time in [61_000, 72_000] {
      #expect(try await renew(bench, lease, after: time) == [.held])
      try await tick(bench, after: time)
      for event in ["repaired", "broken", "stray"] {
        #expect(try await bench.events(event) == 0, "\(event) at \(time)")
      }
    }
    #expect(try await bench.list("queue:demo:extraction") == ["holder", "queued"])
    #expect(try await bench.list("lane:demo:x") == ["waiter"])
    #expect(try await bench.list("lane:demo:paused") == ["parked"])
    #expect(try await score(bench, "leases", "leased") == Self.start + 72_000 + QueueBench.lease)
    #expect(try await score(bench, "delayed", "delayed") == Self.start + 600_000)
  }

  @Test func whoeverIsMissingIsPutBackAlone() async throws {
    let bench = try await seeded(#"{"id":"a"}"#, #"{"id":"b"}"#, #"{"id":"c"}"#)
    try await redis(bench, "LREM", "batchd:queue:demo:extraction", 0, "b")
    for time in [61_000, 72_000] {
      try await tick(bench, after: time)
      #expect(try await bench.events("repaired") == 1)
    }
    #expect(try await bench.list("queue:demo:extraction").sorted() == ["a", "b", "c"])
  }

  /// It would take Redis too long.
  @Test func aLongListIsNotSearched() async throws {
    let bench = try await seeded(#"{"id":"a"}"#)
    let others: [RedisArgument] = (0..<1_001).map { .text("x\($0)") }
    _ = try await bench.queue.client.call(["RPUSH", "batchd:queue:demo:extraction"] + others)
    try await redis(bench, "LREM", "batchd:queue:demo:extraction", 0, "a")
    try await tick(bench, after: 61_000)
    #expect(try await bench.events("repaired") == 0)
    try await redis(bench, "RPOP", "batchd:queue:demo:extraction")
    try await tick(bench, after: 72_000)
    #expect(try await bench.events("repaired") == 1)
  }

  @Test func aLeaseWithoutItsEntryIsTheHoldersStill() async throws {
    let bench = try await seeded(#"{"id":"a"}"#)
    let lease = try await bench.claim()[0].lease
    try await redis(bench, "ZREM", "batchd:leases", "a")
    try await tick(bench, after: 1_000)
    #expect(try await score(bench, "leases", "a") == Self.start + 31_000)
    #expect(try await renew(bench, lease, after: 2_000) == [.held])
  }

  @Test func aPlaceThatIsNoneIsLeft() async throws {
    let bench = try await seeded(#"{"id":"a"}"#, #"{"id":"b"}"#, #"{"id":"c"}"#)
    try await redis(bench, "HSET", "batchd:batch:a", "place", "elsewhere")
    try await redis(bench, "HDEL", "batchd:batch:b", "place")
    try await redis(bench, "HSET", "batchd:batch:c", "stage", "validation")
    try await tick(bench, after: 1_000)
    #expect(try await bench.events("repaired") == 3)
    #expect(try await bench.field("batch:a", "place") == "batchd:queue:demo:extraction")
    #expect(try await bench.field("batch:b", "place") == "batchd:queue:demo:extraction")
    #expect(try await bench.field("batch:c", "place") == "batchd:queue:demo:validation")
    // Keys of other programs are none of ours.
    #expect(try await bench.field("gone", "elsewhere") == nil)
  }

  @Test func aLaneWithoutAHolderIsHandedOn() async throws {
    let bench = try await seeded(#"{"id":"a","account":"x"}"#, #"{"id":"b","account":"x"}"#)
    try await redis(bench, "DEL", "batchd:batch:a")
    try await redis(bench, "HDEL", "batchd:lanes", "demo:x")
    try await tick(bench, after: 1_000)
    #expect(try await bench.field("batch:b", "place") == "batchd:queue:demo:extraction")
    #expect(try await bench.field("lanes", "demo:x") == "b")
  }

  @Test func entriesOfOthersLeaveTheirZsets() async throws {
    let bench = try await seeded(#"{"id":"queued"}"#, #"{"id":"ended","delay":60}"#)
    let later = RedisArgument.integer(Self.start + 600_000)
    try await redis(bench, "ZADD", "batchd:delayed", later, "queued")
    try await redis(bench, "HSET", "batchd:batch:ended", "status", "completed")
    try await tick(bench, after: 1_000)
    #expect(try await score(bench, "delayed", "queued") == nil)
    #expect(try await bench.field("batch:queued", "status") == "pending")
    try await tick(bench, after: 60_000)
    #expect(try await score(bench, "delayed", "ended") == nil)
    #expect(try await bench.field("batch:ended", "status") == "completed")
    #expect(try await bench.list("queue:demo:extraction") == ["queued"])
  }

  @Test(arguments: ["leases", "delayed"])
  func whatIsDueInAZsetThatIsNotItsPlaceOnlyLeavesIt(zset: String) async throws {
    let bench = try await seeded(#"{"id":"queued"}"#)
    try await redis(bench, "ZADD", .text("batchd:\(zset)"), .integer(Self.start), "queued")
    #expect(try await bench.tick(now: Self.start).moved == 0)
    #expect(try await score(bench, zset, "queued") == nil)
    #expect(try await bench.field("batch:queued", "place") == "batchd:queue:demo:extraction")
    #expect(try await bench.field("batch:queued", "crashes") == nil)
    #expect(try await bench.list("queue:demo:extraction") == ["queued"])
  }

  @Test func aLargeOperationIsWalkedInStepsFromItsBeginning() async throws {
    let bench = try await seeded(#"{"id":"a","operation":"o"}"#)
    let others: [RedisArgument] = (0..<550).map { .text("expired\($0)") }
    _ = try await bench.queue.client.call(["LPUSH", "batchd:members:o"] + others)
    try await redis(bench, "HSET", "batchd:meta", "patrol:o", "-1000000")
    try await redis(bench, "HSET", "batchd:batch:a", "place", "elsewhere")
    try await tick(bench, after: 0)
    #expect(try await bench.events("repaired") == 0)
    try await tick(bench, after: 10_000)
    #expect(try await bench.events("repaired") == 1)
  }

  /// An idle tick costs no reading of records: neither of leases that no new epoch ended, nor of what has ended.
  @Test func whatNeedsNothingIsNotRead() async throws {
    let bench = try await seeded(#"{"id":"ended"}"#)
    _ = try await bench.fcall("cancel", ["ended"])
    try await bench.admit(#"{"id":"a"}"#)
    #expect(try await bench.claim(count: 2).count == 1)
    func recordsRead(after milliseconds: Int) async throws -> String? {
      try await redis(bench, "CONFIG", "RESETSTAT")
      try await tick(bench, after: milliseconds)
      let statistics = try await redis(bench, "INFO", "commandstats").text ?? ""
      #expect(statistics.contains("cmdstat_zrangebyscore"))
      return statistics.split(separator: "\r\n").first { $0.hasPrefix("cmdstat_hgetall:") }
        .map(String.init)
    }
    #expect(try await recordsRead(after: 0) != nil)
    #expect(try await recordsRead(after: 5_000) == nil)
    try await redis(bench, "DEL", "batchd:leases", "batchd:batch:a", "batchd:progress:a")
    #expect(try await recordsRead(after: 10_000) == nil)
  }
}
