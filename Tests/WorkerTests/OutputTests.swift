import Pipeline
import Synchronization
import TestSupport
import Testing
import Worker

/// The data between stages as handlers see it.
@Suite struct OutputTests {
  private static func text(_ bytes: Int) -> JSON {
    .string(String(repeating: "x", count: bytes - 2))
  }

  /// Two stages: the first does `body`, the second gives what it reads to `read`.
  private func pipeline(
    outputBytes: Int = 1 << 20,
    _ body: @escaping @Sendable (StageJob, StageContext) async throws -> JSON?,
    read: @escaping @Sendable (StageContext) async throws -> Void = { _ in }
  ) -> PipelineDefinition {
    PipelineDefinition(
      name: "demo",
      stages: [
        .init(stage: .extraction, handler: Handler(body), outputBytes: outputBytes),
        .init(
          stage: .validation,
          handler: Handler { _, context in
            try await read(context)
            return nil
          }),
      ])
  }

  /// Together they are more than one call brings, and each is more than a piece.
  @Test func largeOutputsReachTheNextStage() async throws {
    let harness = try await WorkerHarness()
    let seen = Mutex<(items: [String: JSON], stage: JSON?)>(([:], nil))
    let large = Self.text(3 << 20)
    let demo = pipeline(outputBytes: 16 << 20) { job, context in
      try await context.checkpoint(
        Dictionary(uniqueKeysWithValues: job.items.map { ($0.id, .done(large)) }),
        cursor: .integer(7))
      return large
    } read: { context in
      let items = try await context.outputs(of: .extraction)
      let stage = try await context.output(of: .extraction)
      seen.withLock { $0 = (items, stage) }
    }
    let worker = try harness.worker("w1", [demo])
    try await harness.enqueue(#"{"id":"b1","items":["1","2","3"]}"#)
    #expect(await harness.waitFor("completed", of: "progress:b1"))
    try await worker.stop()
    #expect(seen.withLock { $0.items } == ["1": large, "2": large, "3": large])
    #expect(seen.withLock { $0.stage } == large)
  }

  @Test func anOutputOverTheStagesLimitFailsItsItem() async throws {
    let harness = try await WorkerHarness()
    let demo = pipeline(outputBytes: 2_048) { job, context in
      try await context.checkpoint(["1": .done(Self.text(2_048)), "2": .done(Self.text(2_049))])
      return nil
    }
    let worker = try harness.worker("w1", [demo])
    try await harness.enqueue(#"{"id":"b1","items":["1","2"]}"#)
    #expect(await harness.waitFor("completed_with_errors", of: "batch:b1"))
    try await worker.stop()
    #expect(
      try await harness.hash("errors:b1")
        == ["2": "its output has 2049 bytes, the limit is 2048 (output_bytes)"])
  }

  @Test func aBatchWhoseOutputsAreTooLargeTogetherFailsAndSaysSo() async throws {
    let harness = try await WorkerHarness()
    let runs = Mutex(0)
    let demo = pipeline { job, context in
      runs.withLock { $0 += 1 }
      if job.items.isEmpty { return Self.text(5_001) }
      for item in job.items { try await context.checkpoint([item.id: .done(Self.text(2_000))]) }
      return nil
    }
    let worker = try harness.worker("w1", [demo]) { $0.limits.batchOutputBytes = 5_000 }
    try await harness.enqueue(#"{"id":"items","items":["1","2","3"]}"#, #"{"id":"stage"}"#)
    for batch in ["items", "stage"] {
      #expect(await harness.waitFor("failed", of: "batch:\(batch)"))
      let error = try await harness.field("batch:\(batch)", "error")
      #expect(error.contains("raise limits.batch_output_bytes"), "\(error)")
      #expect(!error.contains("OUTPUT"), "\(error)")
    }
    let kept = try await harness.redis.cli("HLEN", "batchd:items:items:extraction")
    #expect(kept == "2", "what was kept stays")
    #expect(runs.withLock { $0 } == 2, "no retry makes it smaller")
    try await worker.stop()
  }
}
