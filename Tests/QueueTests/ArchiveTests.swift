import Pipeline
import Queue
import Redis
import Testing

/// Retention starts when the store has a run, and ends no batch that lives.
@Suite struct ArchiveTests {
  private static let start = QueueBench.start
  private static let kept = 86_400_000
  private static let keptFailed = 864_000_000

  /// STREAM_ID ID RUN of what the outbox gives.
  private func ended(_ bench: QueueBench) async throws -> [RedisArgument] {
    let reply = try await bench.fcall("outbox", [1, "w1", 100, .integer(Self.start)])
    return try (reply.array ?? []).flatMap { run -> [RedisArgument] in
      let parts = try #require(run.array)
      let fields = try #require(parts[1].array)
      return [parts[0], fields[1], fields[3]].map { .text($0.text ?? "") }
    }
  }

  private func archive(_ bench: QueueBench, _ runs: [RedisArgument]) async throws -> Int? {
    try await bench.fcall(
      "archive",
      [1, .integer(Self.kept), .integer(Self.keptFailed), .integer(runs.count / 3)] + runs
        + [.integer(Self.start)]
    ).integer
  }

  /// Unix ms; -1 for never.
  private func expiry(_ bench: QueueBench, _ key: String) async throws -> Int? {
    try await bench.queue.client.call(["PEXPIRETIME", .text("batchd:\(key)")]).integer
  }

  @Test func anOperationStaysAsLongAsItsLastBatchAndOneThatLivesStays() async throws {
    let bench = try await QueueBench()
    try await bench.register()
    try await bench.admit(
      #"{"id":"a","operation":"o","account":"x"}"#, #"{"id":"b","operation":"o","account":"y"}"#,
      #"{"id":"c","operation":"p"}"#, #"{"id":"d","operation":"p"}"#)
    let claims = try await bench.claim(count: 3)
    _ = try await bench.queue.fail(
      claims[0].lease, delayMilliseconds: nil, error: "no", now: Self.start)
    for id in ["b", "c"] { _ = try await bench.fcall("cancel", [.text(id)]) }
    _ = try await bench.queue.renew(
      claims.map(\.lease), boot: "1", lists: [], counters: [],
      leaseMilliseconds: QueueBench.lease, now: Self.start)
    let runs = try await ended(bench)
    #expect(try await archive(bench, ["1-1", "a", "2"]) == 0)
    #expect(try await expiry(bench, "batch:a") == -1)
    #expect(try await archive(bench, runs) == 3)
    #expect(try await expiry(bench, "batch:a") == Self.start + Self.keptFailed)
    #expect(try await expiry(bench, "batch:b") == Self.start + Self.kept)
    for key in ["progress:o", "progress:o:x", "accounts:o", "members:o"] {
      #expect(try await expiry(bench, key) == Self.start + Self.keptFailed + 1_000, "\(key)")
    }
    #expect(try await expiry(bench, "batch:c") == Self.start + Self.kept)
    #expect(try await expiry(bench, "progress:p") == -1)
    #expect(try await archive(bench, ["1-1", "d", "1"]) == 0)
    #expect(try await expiry(bench, "batch:d") == -1)
  }

  /// Where the outbox waits for longer than the retention, the operation would vanish before its last batch is archived.
  @Test func anOperationStaysWhileARunOfItWaitsInTheOutbox() async throws {
    let bench = try await QueueBench()
    try await bench.register()
    for name in ["o", "p"] {
      try await bench.admit(
        #"{"id":"\#(name)1","operation":"\#(name)"}"#, #"{"id":"\#(name)2","operation":"\#(name)"}"#
      )
      for number in 1...2 {
        _ = try await bench.fcall("cancel", [.text("\(name)\(number)"), .integer(Self.start)])
      }
    }
    let runs = try await ended(bench)
    #expect(try await archive(bench, Array(runs[0..<3])) == 1)
    #expect(try await expiry(bench, "batch:o1") == Self.start + Self.kept)
    try await bench.tick(now: Self.start)
    #expect(try await expiry(bench, "progress:o") == -1, "o2 waits in the outbox")
    // All of p in one call: what waits is not of it.
    #expect(try await archive(bench, Array(runs[6..<12])) == 2)
    #expect(try await expiry(bench, "progress:p") == Self.start + Self.kept + 1_000)
    // A cancelled batch of another operation comes in between, so that the outbox does not become empty.
    try await bench.admit(#"{"id":"q"}"#)
    _ = try await bench.fcall("cancel", ["q", .integer(Self.start)])
    #expect(try await archive(bench, Array(runs[3..<6])) == 1)
    try await bench.tick(now: Self.start + 60_000)
    #expect(try await expiry(bench, "progress:o") == -1, "q may be a run of it, as far as is known")
    #expect(try await archive(bench, ended(bench)) == 1)
    try await bench.tick(now: Self.start + 120_000)
    for key in ["progress:o", "members:o"] {
      #expect(try await expiry(bench, key) == Self.start + Self.kept + 1_000, "\(key)")
    }
    #expect(try await bench.field("progress:o", "keep_after") == nil)
  }

  @Test func anOperationThatLivesAgainIsNotEndedByARound() async throws {
    let bench = try await QueueBench()
    try await bench.register()
    try await bench.admit(#"{"id":"a","operation":"o"}"#, #"{"id":"b","operation":"o"}"#)
    for id in ["a", "b"] { _ = try await bench.fcall("cancel", [.text(id), .integer(Self.start)]) }
    let runs = try await ended(bench)
    #expect(try await archive(bench, Array(runs[0..<3])) == 1)
    try await bench.admit(#"{"id":"c","operation":"o"}"#)
    #expect(try await archive(bench, Array(runs[3..<6])) == 1)
    try await bench.tick(now: Self.start)
    #expect(try await expiry(bench, "progress:o") == -1)
  }

  @Test func aLaterEndWithAShorterRetentionShortensNothing() async throws {
    let bench = try await QueueBench()
    try await bench.register()
    try await bench.admit(#"{"id":"a","operation":"o"}"#, #"{"id":"b","operation":"o"}"#)
    let lease = try await bench.claim()[0].lease
    _ = try await bench.queue.fail(lease, delayMilliseconds: nil, error: "no", now: Self.start)
    #expect(try await archive(bench, ended(bench)) == 1)
    _ = try await bench.fcall("cancel", ["b", .integer(Self.start)])
    #expect(try await archive(bench, ended(bench)) == 1)
    #expect(try await expiry(bench, "progress:o") == Self.start + Self.keptFailed + 1_000)
  }

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
    #expect(swapped == 0)
    #expect(try await bench.queue.client.call(["XLEN", "batchd:ended"]).integer == 2)
    for id in ["a", "b"] {
      #expect(
        try await bench.queue.client.call(["TTL", .text("batchd:batch:\(id)")]).integer == -1)
    }
    let right: [RedisArgument] = [entries[0], "a", "1", entries[1], "b", "1"]
    #expect(try await archive(bench, right) == 2)
    #expect(try await archive(bench, right) == 0, "a repeat acknowledges nothing more")
    #expect(try await bench.queue.client.call(["XLEN", "batchd:ended"]).integer == 0)
    #expect(try await bench.queue.client.call(["TTL", "batchd:batch:a"]).integer ?? -1 > 0)
  }
}
