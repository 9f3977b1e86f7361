import Pipeline
import Queue
import Redis
import Testing

/// Acknowledging ended runs: only what the store holds, and nothing else by mistake.
@Suite struct ArchiveTests {
  @Test func anEntryOfAnotherRunIsLeftAlone() async throws {
    let bench = try await QueueBench()
    try await bench.register()
    try await bench.admit(#"{"id":"a"}"#, #"{"id":"b"}"#)
    for id in ["a", "b"] {
      _ = try await bench.queue.client.call([
        "FCALL", "batchd_cancel", 1, "batchd", .text(id), .integer(QueueBench.start),
      ])
    }
    _ = try await bench.queue.outbox(count: 10, now: QueueBench.start)
    let kept = try await bench.queue.client.call(["XRANGE", "batchd:ended", "-", "+"])
    let entries = (kept.array ?? []).compactMap { $0.array?.first?.text }.map(RedisArgument.text)
    try #require(entries.count == 2)
    let swapped = try await archive(bench, [entries[0], "b", "1", entries[1], "b", "2"])
    #expect(swapped.integer == 0)
    #expect(try await bench.queue.client.call(["XLEN", "batchd:ended"]).integer == 2)
    for id in ["a", "b"] {
      #expect(
        try await bench.queue.client.call(["TTL", .text("batchd:batch:\(id)")]).integer == -1)
    }
    let right: [RedisArgument] = [entries[0], "a", "1", entries[1], "b", "1"]
    #expect(try await archive(bench, right).integer == 2)
    #expect(try await archive(bench, right).integer == 0, "a repeat acknowledges nothing more")
    #expect(try await bench.queue.client.call(["XLEN", "batchd:ended"]).integer == 0)
    #expect(try await bench.queue.client.call(["TTL", "batchd:batch:a"]).integer ?? -1 > 0)
  }

  private func archive(_ bench: QueueBench, _ runs: [RedisArgument]) async throws -> RedisValue {
    try await bench.fcall(
      "archive",
      [.integer(bench.queue.adoption.epoch), 86_400_000, 86_400_000, .integer(runs.count / 3)]
        + runs + [.integer(QueueBench.start)])
  }
}
