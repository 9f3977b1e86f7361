import Pipeline
import Queue
import Redis
import Testing

/// A worker that lost its lease changes nothing, whatever it calls; nor does one with another run or stage.
@Suite struct ZombieTests {
  private static let start = QueueBench.start

  private func everyVerb(_ bench: QueueBench, _ lease: [RedisArgument]) async throws -> [String?] {
    let now = RedisArgument.integer(Self.start)
    func ask(_ name: String, _ rest: [RedisArgument]) async throws -> String? {
      let reply = try await bench.fcall(name, [1] + rest + [now])
      return reply.text ?? reply.array?.last?.text
    }
    return [
      try await ask("checkpoint", lease + [15_000, 0, "", 1, "i", "done", "1", 0]),
      try await ask("finish", [15_000, 1] + lease + [1, 1, "out"]),
      try await ask("fail", lease + [1_000, "no"]), try await ask("fail", lease + ["", "no"]),
      try await ask("snooze", lease + [1_000, "no"]), try await ask("hand_back", [1] + lease),
    ]
  }

  @Test func anOlderFenceAnotherRunOrStageHoldsNothing() async throws {
    let bench = try await QueueBench()
    try await bench.register()
    try await bench.admit(#"{"id":"a","items":["i"]}"#)
    let old = try await bench.claim()[0].lease
    try await bench.tick(now: Self.start + QueueBench.lease)
    let now = Self.start + QueueBench.lease
    let new = try await bench.claim(from: .suspects, now: now)[0].lease
    #expect(new.fence > old.fence)
    let stale: [[RedisArgument]] = [
      [RedisArgument](old),
      ["a", 2, "extraction", .text(new.fence.description)],
      ["a", 1, "validation", .text(new.fence.description)],
      ["b", 1, "extraction", .text(new.fence.description)],
    ]
    let before = try await bench.queue.client.call(["HGETALL", "batchd:batch:a"])
    for lease in stale {
      #expect(try await everyVerb(bench, lease) == [String?](repeating: "lost", count: 6))
    }
    let beat = try await bench.queue.renew(
      [old], boot: "1", lists: [], counters: [], leaseMilliseconds: QueueBench.lease, now: now)
    #expect(beat.leases == [.lost])
    #expect(try await bench.queue.client.call(["HGETALL", "batchd:batch:a"]) == before)
    #expect(try await bench.field("output:a", "extraction") == nil)
    #expect(try await bench.field("items:a:extraction", "i") == nil)
  }
}
