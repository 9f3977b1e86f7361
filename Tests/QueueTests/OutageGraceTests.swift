import Queue
import Redis
import TestSupport
import Testing

/// Silence of all workers may be an outage or the death of the only one: who comes back decides.
@Suite struct OutageGraceTests {
  private static let start = QueueBench.start
  private static let quiet = 12_000

  @Test func whoOutlivedTheOutageKeepsItsLeaseAndWhoDiedIsCharged() async throws {
    let living = try await QueueBench("living")
    let dead = try await QueueBench("dead", on: living.redis)
    for bench in [living, dead] { try await bench.register(quiet: Self.quiet) }
    try await living.admit(#"{"id":"a"}"#, #"{"id":"b"}"#)
    let kept = try await living.claim()
    #expect(try await dead.claim().map(\.lease.batch) == ["b"])
    let back = Self.start + 40_000
    let tick = try await living.tick(now: back)
    #expect(tick.moved == 0)
    #expect(try await living.events("outage") == 1)
    let beat = try await living.queue.renew(
      kept.map(\.lease), boot: "1", lists: [QueueBench.list], counters: [],
      leaseMilliseconds: QueueBench.lease, now: back + 5_000)
    #expect(beat.leases == [.held])
    #expect(beat.nextDeadline == back + Self.quiet)
    try await living.tick(now: back + Self.quiet - 1)
    #expect(try await living.field("batch:b", "place") == "batchd:leases")
    try await living.tick(now: back + Self.quiet)
    #expect(try await living.list("suspects:demo:extraction") == ["b"])
    #expect(try await living.field("batch:b", "crashes") == "1")
    #expect(try await living.field("batch:a", "crashes") == nil)
  }

  /// Each life of the only worker has another name and comes long after the last one's end.
  @Test func aPoisonBatchThatKillsTheOnlyWorkerIsChargedUnderAnyName() async throws {
    let first = try await QueueBench("life-0")
    try await first.register(quiet: Self.quiet)
    try await first.admit(#"{"id":"bad"}"#)
    #expect(try await first.claim().count == 1)
    var now = Self.start
    for life in 1...3 {
      now += 60_000
      let bench = try await QueueBench("life-\(life)", on: first.redis, now: now)
      try await bench.register(quiet: Self.quiet, now: now)
      #expect(try await bench.events("outage") == life)
      try await bench.tick(now: now)
      #expect(try await first.field("batch:bad", "place") == "batchd:leases")
      now += Self.quiet
      try await bench.tick(now: now)
      #expect(try await first.field("batch:bad", "crashes") == "\(life)")
      _ = try await bench.claim(from: .suspects, now: now)
    }
    #expect(try await first.field("batch:bad", "status") == "failed")
    #expect(
      try await first.field("batch:bad", "error")
        == "poison: its worker died 3 times while it ran; the last was life-2: its log says why; mend the cause, then retry the batch"
    )
  }
}
