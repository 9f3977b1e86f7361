import Pipeline
import Queue
import Redis
import Testing

/// What ends, and where it begins again.
@Suite struct EndingTests {
  private static let start = QueueBench.start

  private func beat(_ bench: QueueBench, _ leases: [Lease]) async throws -> Queue.Beat {
    try await bench.queue.renew(
      leases, boot: "1", lists: [], counters: [], leaseMilliseconds: QueueBench.lease,
      now: Self.start)
  }

  @Test func whatRunsEndsWithItsNextBeat() async throws {
    let bench = try await QueueBench()
    try await bench.register()
    try await bench.admit(#"{"id":"a"}"#)
    let lease = try await bench.claim()[0].lease
    #expect(try await bench.fcall("cancel", ["a"]).text?.contains("cancelling") == true)
    #expect(try await bench.field("batch:a", "status") == "processing")
    #expect(try await beat(bench, [lease]).leases == [.cancelled])
    #expect(try await bench.field("batch:a", "status") == "cancelled")
    _ = try await bench.fcall("retry", ["a", "extraction"])
    #expect(try await bench.field("batch:a", "place") == "batchd:queue:demo:extraction")
  }

  @Test func whatEndedIsADuplicateUntilItIsToRunAgain() async throws {
    let bench = try await QueueBench()
    try await bench.register()
    try await bench.admit(#"{"id":"a"}"#)
    _ = try await bench.fcall("cancel", ["a"])
    #expect(try await bench.admit(#"{"id":"a"}"#) == [.duplicate])
    #expect(try await bench.field("batch:a", "status") == "cancelled")
    #expect(try await bench.admit(#"{"id":"a","rerun":true}"#) == [.admitted])
    #expect(try await bench.field("batch:a", "run") == "2")
  }

  @Test func theNextDeadlineIsTheNearest() async throws {
    let bench = try await QueueBench()
    try await bench.register()
    try await bench.tick(now: Self.start)
    try await bench.admit(#"{"id":"a"}"#, #"{"id":"b","delay":60}"#)
    let lease = try await bench.claim()[0].lease
    #expect(try await beat(bench, [lease]).nextDeadline == Self.start + QueueBench.lease)
    try await bench.admit(#"{"id":"c","delay":5}"#)
    #expect(try await beat(bench, [lease]).nextDeadline == Self.start + 5_000)
    // 0 would mean that there is none.
    _ = try await bench.queue.client.call(["ZADD", "batchd:delayed", 0, "by hand"])
    #expect(try await beat(bench, [lease]).nextDeadline == 1)
    // In a new epoch there may be leases to put back at once.
    bench.storeEpoch.raise(9)
    try await bench.readopt()
    #expect(try await beat(bench, []).nextDeadline == Self.start)
  }

  @Test func aRestartInANewEpochChargesNobody() async throws {
    let bench = try await QueueBench()
    try await bench.register()
    try await bench.admit(#"{"id":"a"}"#)
    #expect(try await bench.claim().count == 1)
    bench.storeEpoch.raise(9)
    try await bench.readopt()
    try await bench.register(boot: "2")
    #expect(try await bench.queue.recover(maxCrashes: 3, now: Self.start) == 1)
    #expect(try await bench.field("batch:a", "crashes") == nil)
    #expect(try await bench.list("queue:demo:extraction") == ["a"])
  }

  @Test func theOutboxTellsTheErrorsOfItsOwnRun() async throws {
    let bench = try await QueueBench()
    try await bench.register()
    try await bench.admit(#"{"id":"a","items":["i","j"]}"#)
    let lease = try await bench.claim()[0].lease
    _ = try await bench.fcall(
      "checkpoint",
      [
        1, "a", 1, "extraction", .text(lease.fence.description), 15_000, 0, "", 1, "i", "failed",
        "no", 0, .integer(Self.start),
      ])
    _ = try await bench.fcall("cancel", ["a"])
    _ = try await beat(bench, [lease])
    func errors() async throws -> [String] {
      let reply = try await bench.fcall("outbox", [1, "w1", 9, .integer(Self.start)])
      return reply.array?.first?.array?[2].array?.compactMap(\.text) ?? []
    }
    #expect(try await errors() == ["i", "no"])
    // A later run's errors are not this one's.
    _ = try await bench.queue.client.call(["HSET", "batchd:batch:a", "run", "2"])
    #expect(try await errors() == [])
  }

  @Test func nothingIsPausedWhereNoWorkerEverWas() async throws {
    let bench = try await QueueBench()
    try await bench.register()
    _ = try await bench.queue.client.call(["DEL", "batchd:meta"])
    await #expect(throws: RedisError.self) { try await bench.fcall("pause", ["all"]) }
    #expect(try await bench.queue.client.call(["EXISTS", "batchd:paused"]).integer == 0)
  }
}
