import Pipeline
import Queue
import Redis
import Testing

/// The counts of items are those of one stage, which the pipeline names.
@Suite struct ItemCountTests {
  private func checkpoint(
    _ bench: QueueBench, _ lease: Lease, _ stage: String, _ items: [RedisArgument]
  ) async throws -> String? {
    try await bench.fcall(
      "checkpoint",
      [
        1, .text(lease.batch), 1, .text(stage), .text(lease.fence.description), 15_000, 0, "",
        .integer(items.count / 3),
      ] + items + [0, .integer(QueueBench.start)]
    ).text
  }

  @Test func laterStagesChangeNoCount() async throws {
    let bench = try await QueueBench()
    try await bench.register()
    try await bench.admit(#"{"id":"a","items":["i","j","k"]}"#)
    let claim = try await bench.claim()[0]
    let first: [RedisArgument] = ["i", "done", "1", "j", "done", "1", "k", "failed", "no"]
    #expect(try await checkpoint(bench, claim.lease, "extraction", first) == "held")
    func counts() async throws -> [String?] {
      [
        try await bench.field("batch:a", "items_done"),
        try await bench.field("batch:a", "items_failed"),
        try await bench.field("progress:a", "items_done"),
        try await bench.field("progress:a", "items_failed"),
      ]
    }
    #expect(try await counts() == ["2", "1", "2", "1"])
    // A failed item is not done after all, nor a done one failed, in the same stage.
    let changed: [RedisArgument] = ["k", "done", "1", "i", "failed", "no"]
    #expect(try await checkpoint(bench, claim.lease, "extraction", changed) == "held")
    #expect(try await counts() == ["2", "1", "2", "1"])
    _ = try await bench.queue.finish(
      [.init(claim: claim, output: nil, goesOn: true)], leaseMilliseconds: QueueBench.lease,
      now: QueueBench.start)
    let later: [RedisArgument] = ["i", "done", "1", "j", "failed", "no"]
    // The lease went on into the next stage: the earlier one's is over.
    #expect(try await checkpoint(bench, claim.lease, "extraction", later) == "lost")
    #expect(try await checkpoint(bench, claim.lease, "validation", later) == "held")
    #expect(try await counts() == ["2", "1", "2", "1"])
  }

  @Test func anEarlierStageChangesNoCount() async throws {
    let bench = try await QueueBench()
    try await bench.register(counts: .validation)
    try await bench.admit(#"{"id":"a","items":["i","j"]}"#)
    var claim = try await bench.claim()[0]
    for counted in ["0", "2"] {
      let answers = try await bench.queue.finish(
        [.init(claim: claim, output: nil, goesOn: true)], leaseMilliseconds: QueueBench.lease,
        now: QueueBench.start)
      #expect(try await bench.field("batch:a", "items_done") == counted)
      #expect(try await bench.field("progress:a", "items_done") == counted)
      if case .next(let next)? = answers.first { claim = next }
    }
  }
}
