import Pipeline
import Queue
import Redis
import Testing

/// The data between stages: bounded, in pieces, gone with its batch.
@Suite struct OutputTests {
  private static let start = QueueBench.start

  private func text(_ bytes: Int) -> JSON { .string(String(repeating: "x", count: bytes - 2)) }

  private func bytes(_ bench: QueueBench, _ batch: String) async throws -> String? {
    try await bench.field("output:\(batch)", "bytes")
  }

  private func limit(_ bench: QueueBench, _ bytes: Int) async throws {
    _ = try await bench.queue.client.call([
      "HSET", "batchd:meta", "batch_output_bytes", .integer(bytes),
    ])
  }

  private func finish(
    _ bench: QueueBench, _ claim: Claim, _ output: JSON?
  ) async throws -> Queue.Finished {
    var kept: [UInt8]?
    if let output {
      kept = try await bench.queue.keep(output, under: claim.lease, now: Self.start)
      try #require(kept != nil)
    }
    return try await bench.queue.finish(
      [.init(claim: claim, kept: kept, goesOn: false)], leaseMilliseconds: QueueBench.lease,
      now: Self.start)[0]
  }

  private func checkpoint(
    _ bench: QueueBench, _ claim: Claim, _ results: [String: ItemResult]
  ) async throws -> LeaseState {
    try await bench.queue.checkpoint(
      claim, results, leaseMilliseconds: QueueBench.lease, now: Self.start)
  }

  @Test func aLargeOutputComesBackWholeAndNoFieldIsLarge() async throws {
    let bench = try await QueueBench()
    try await bench.register()
    try await bench.admit(#"{"id":"a","items":["1","2"]}"#)
    let claim = try await bench.claim()[0]
    let (large, small) = (text(3_500_000), text(10))
    #expect(try await checkpoint(bench, claim, ["1": .done(large), "2": .done(small)]) == .held)
    guard case .queued = try await finish(bench, claim, large) else {
      Issue.record("not queued")
      return
    }
    let outputs = try await bench.queue.outputs(of: "a", stage: .extraction)
    #expect(outputs == ["1": large, "2": small])
    #expect(try await bench.queue.output(of: "a", stage: .extraction) == large)
    let fields = try await bench.queue.client.call(["HKEYS", "batchd:output:a"])
    for field in fields.array?.compactMap(\.text) ?? [] {
      let length = try await bench.queue.client.call(["HSTRLEN", "batchd:output:a", .text(field)])
      #expect(length.integer ?? .max <= 1 << 20, "\(field)")
    }
    #expect(fields.array?.count == 2 * 4 + 2)
  }

  @Test func theOutputsOfABatchHaveRoomForSoManyBytesAndNoMore() async throws {
    let bench = try await QueueBench()
    try await bench.register()
    try await limit(bench, 1_000)
    try await bench.admit(#"{"id":"a","items":["1","2","3"]}"#)
    let claim = try await bench.claim()[0]
    #expect(try await checkpoint(bench, claim, ["1": .done(text(600))]) == .held)
    // Its first reply may have been lost.
    #expect(try await checkpoint(bench, claim, ["1": .done(text(600))]) == .held)
    #expect(try await bytes(bench, "a") == "600")
    let error = await #expect(throws: QueueError.self) {
      try await checkpoint(bench, claim, ["2": .done(text(200)), "3": .done(text(201))])
    }
    #expect(error?.code == .output)
    #expect(error?.message.contains("more than 1000 bytes") == true)
    #expect(try await bytes(bench, "a") == "600")
    #expect(try await bench.queue.outputIDs(of: "a", stage: .extraction) == ["1"])
    guard case .full = try await finish(bench, claim, text(401)) else {
      Issue.record("there was room")
      return
    }
    #expect(try await bench.field("batch:a", "status") == "processing")
    guard case .queued = try await finish(bench, claim, text(400)) else {
      Issue.record("there was no room")
      return
    }
    #expect(try await bytes(bench, "a") == "1000")
  }

  @Test func piecesCountAndAZombieKeepsNone() async throws {
    let bench = try await QueueBench()
    try await bench.register()
    try await limit(bench, 3 << 20)
    try await bench.admit(#"{"id":"a"}"#, #"{"id":"b"}"#)
    let claims = try await bench.claim(count: 2)
    let error = await #expect(throws: QueueError.self) {
      try await bench.queue.keep(text(4 << 20), under: claims[0].lease, now: Self.start)
    }
    #expect(error?.code == .output)
    #expect(try await bytes(bench, "a") == "\(3 << 20)")
    // Another attempt takes the place of the one before.
    guard case .queued = try await finish(bench, claims[0], text((3 << 20) - 2)) else {
      Issue.record("there was no room")
      return
    }
    #expect(try await bytes(bench, "a") == "\(3 << 20)")
    try await bench.queue.handBack([claims[1].lease], now: Self.start)
    let lost = try await bench.queue.keep(text(2 << 20), under: claims[1].lease, now: Self.start)
    #expect(lost == nil)
    #expect(try await bytes(bench, "b") == nil)
  }

  /// What a retry forgets gives its room back.
  @Test func aRetryMakesRoomForWhatItRunsAgain() async throws {
    let bench = try await QueueBench()
    try await bench.register()
    try await bench.admit(#"{"id":"a","items":["1","2"]}"#)
    let claim = try await bench.claim()[0]
    _ = try await checkpoint(bench, claim, ["1": .done(text(100)), "2": .done(text(50))])
    _ = try await finish(bench, claim, nil)
    let list = StageList(pipeline: "demo", stage: .validation)
    let next = try await bench.claim(list)[0]
    _ = try await checkpoint(bench, next, ["1": .failed("no")])
    _ = try await bench.queue.fail(
      next.lease, delayMilliseconds: nil, error: "no", now: Self.start)
    _ = try await bench.fcall("retry", ["a", "extraction", .integer(Self.start)])
    #expect(try await bytes(bench, "a") == "50")
    #expect(try await bench.queue.outputIDs(of: "a", stage: .extraction) == ["2"])
  }
}
