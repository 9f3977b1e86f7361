import Pipeline
import Queue
import Redis
import Testing

/// Counts that somebody overwrote are counted anew from the batches; what no batch tells any more is believed.
@Suite struct RecountTests {
  private static let start = QueueBench.start

  private func set(_ bench: QueueBench, _ key: String, _ words: RedisArgument...) async throws {
    _ = try await bench.queue.client.call(["HSET", .text("batchd:\(key)")] + words)
  }

  private func counts(_ bench: QueueBench, _ names: String...) async throws -> [String?] {
    var counts: [String?] = []
    for name in names { counts.append(try await bench.field("progress:o", name)) }
    return counts
  }

  /// Of the operation `o`: one cancelled, one that has one of its two items done, and one that waits.
  private func seeded() async throws -> QueueBench {
    let bench = try await QueueBench()
    try await bench.register()
    try await bench.admit(
      #"{"id":"ended","operation":"o"}"#, #"{"id":"runs","operation":"o","items":["i","j"]}"#,
      #"{"id":"waits","operation":"o","items":["i","j"]}"#)
    _ = try await bench.fcall("cancel", ["ended", .integer(Self.start)])
    let claim = try #require(try await bench.claim(count: 2).first)
    #expect(claim.lease.batch == "runs")
    _ = try await bench.queue.checkpoint(
      claim, ["i": .done(.null)], leaseMilliseconds: QueueBench.lease, now: Self.start)
    return bench
  }

  private func tick(_ bench: QueueBench) async throws {
    try await bench.tick(now: Self.start)
  }

  @Test func eachBatchCountsOnceHoweverOftenItIsListed() async throws {
    let bench = try await seeded()
    _ = try await bench.queue.client.call(["RPUSH", "batchd:members:o", "waits", "ended"])
    try await set(bench, "batch:ended", "items_failed", "-5")
    try await set(
      bench, "progress:o", "total", "7", "pending", "99", "cancelled", "0", "items_total", "1",
      "items_done", "50", "items_failed", "8")
    try await tick(bench)
    #expect(
      try await counts(bench, "total", "pending", "processing", "cancelled")
        == ["3", "1", "1", "1"])
    #expect(
      try await counts(bench, "items_total", "items_done", "items_failed") == ["4", "1", "0"])
  }

  @Test func theEndsOfWhoExpiredAreBelieved() async throws {
    let bench = try await seeded()
    _ = try await bench.queue.client.call(["RPUSH", "batchd:members:o", "expired"])
    // It had completed, with three items, all done.
    try await set(
      bench, "progress:o", "total", "9", "completed", "1", "cancelled", "0", "items_total", "7",
      "items_done", "0", "items_failed", "-2")
    try await tick(bench)
    #expect(
      try await counts(bench, "total", "pending", "processing", "completed", "cancelled", "failed")
        == ["4", "1", "1", "1", "1", "0"])
    #expect(
      try await counts(bench, "items_total", "items_done", "items_failed") == ["7", "1", "0"])
  }

  @Test func whereMembersAreUnknownCountsThatAgreeStand() async throws {
    let bench = try await seeded()
    _ = try await bench.queue.client.call(["LREM", "batchd:members:o", 0, "ended"])
    try await set(bench, "progress:o", "items_failed", "-2")
    try await tick(bench)
    #expect(try await counts(bench, "total", "cancelled") == ["3", "1"])
    #expect(try await counts(bench, "items_total", "items_failed") == ["4", "0"])
  }

  /// A function that changes counts has no time for more than a thousand batches.
  @Test func aLargeOperationIsNotCountedByTheWay() async throws {
    let bench = try await seeded()
    let others: [RedisArgument] = (0..<998).map { .text("expired\($0)") }
    _ = try await bench.queue.client.call(["RPUSH", "batchd:members:o"] + others)
    try await set(bench, "progress:o", "total", "99")
    _ = try await bench.fcall("cancel", ["waits"])
    #expect(try await bench.events("broken") == 0)
    _ = try await bench.queue.client.call(["RPOP", "batchd:members:o"])
    _ = try await bench.fcall("retry", ["waits"])
    #expect(try await bench.events("broken") == 1)
  }
}
