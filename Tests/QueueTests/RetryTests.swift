import Pipeline
import Queue
import Redis
import Testing

/// A retry does again what failed, and nothing else.
@Suite struct RetryTests {
  private static let start = QueueBench.start

  private func run(_ bench: QueueBench, _ stage: Stage, _ results: [String: ItemResult])
    async throws -> Claim
  {
    let claim = try #require(
      try await bench.claim(StageList(pipeline: "demo", stage: stage)).first)
    _ = try await bench.queue.checkpoint(
      claim, results, leaseMilliseconds: QueueBench.lease, now: Self.start)
    return claim
  }

  private func pass(_ bench: QueueBench, _ claim: Claim) async throws {
    _ = try await bench.queue.finish(
      [.init(claim: claim, output: nil, goesOn: false)], leaseMilliseconds: QueueBench.lease,
      now: Self.start)
  }

  private func items(_ bench: QueueBench, _ stage: String) async throws -> Set<String> {
    let reply = try await bench.queue.client.call(["HKEYS", .text("batchd:items:a:\(stage)")])
    return Set((reply.array ?? []).compactMap(\.text))
  }

  @Test func itForgetsWhatFailedItemsMadeSinceTheStageItBeginsAt() async throws {
    let bench = try await QueueBench()
    try await bench.register()
    try await bench.admit(#"{"id":"a","items":["i","j"]}"#)
    let done = ItemResult.done(.string("x"))
    try await pass(bench, run(bench, .extraction, ["i": done, "j": done]))
    var claim = try await run(bench, .validation, ["i": done, "j": .failed("no")])
    _ = try await bench.queue.fail(
      claim.lease, delayMilliseconds: nil, error: "no", now: Self.start)
    #expect(try await bench.fcall("retry", ["a"]).text == "retrying run 2 from validation")
    #expect(try await items(bench, "extraction") == ["i", "j"])
    #expect(try await items(bench, "validation") == ["i"])
    claim = try await run(bench, .validation, ["j": .failed("no")])
    _ = try await bench.queue.fail(
      claim.lease, delayMilliseconds: nil, error: "no", now: Self.start)
    let earlier = try await bench.fcall("retry", ["a", "extraction"]).text
    #expect(earlier == "retrying run 3 from extraction")
    #expect(try await items(bench, "extraction") == ["i"])
    #expect(try await items(bench, "validation") == ["i"])
  }

  @Test(arguments: [nil, "garbage"]) func itBeginsWhereTheFirstItemFailed(_ garbled: String?)
    async throws
  {
    let bench = try await QueueBench()
    try await bench.register()
    try await bench.admit(#"{"id":"a","items":["i","j"]}"#)
    try await pass(bench, run(bench, .extraction, ["i": .failed("no")]))
    let claim = try await run(bench, .validation, ["j": .failed("no")])
    _ = try await bench.queue.fail(
      claim.lease, delayMilliseconds: nil, error: "no", now: Self.start)
    if let garbled {
      _ = try await bench.queue.client.call([
        "HSET", "batchd:batch:a", "failed_stage", .text(garbled),
      ])
    }
    let stage = garbled == nil ? "extraction" : "validation"
    // From a later stage it would leave items undone.
    await #expect(throws: RedisError.self) { try await bench.fcall("retry", ["a", "persistence"]) }
    #expect(try await bench.fcall("retry", ["a"]).text == "retrying run 2 from \(stage)")
  }

  /// More than Lua unpacks at once.
  @Test func thousandsOfItemsMayHaveFailed() async throws {
    let bench = try await QueueBench()
    try await bench.register()
    try await bench.admit(#"{"id":"a","items":["i","j"]}"#)
    let claim = try await run(bench, .extraction, ["i": .done(.null), "j": .failed("no")])
    for first in stride(from: 0, to: 8_200, by: 1_000) {
      let fields: [RedisArgument] = (first..<min(first + 1_000, 8_200)).flatMap {
        [.text("k\($0)"), "no"]
      }
      _ = try await bench.queue.client.call(["HSET", "batchd:errors:a"] + fields)
    }
    _ = try await bench.queue.client.call(["HSET", "batchd:items:a:extraction", "k8199", "x"])
    _ = try await bench.queue.fail(
      claim.lease, delayMilliseconds: nil, error: "no", now: Self.start)
    #expect(try await bench.fcall("retry", ["a"]).text == "retrying run 2 from extraction")
    #expect(try await items(bench, "extraction") == ["i"])
  }
}
