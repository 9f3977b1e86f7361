import Pipeline
import Synchronization
import TestSupport
import Testing
import Worker

@Suite struct WorkerTests {
  private static let pass = Handler { _, _ in nil }

  @Test func aBatchPassesItsStagesAndReachesTheStore() async throws {
    let harness = try await WorkerHarness()
    let seen = Mutex<[String]>([])
    let record = Handler { job, context in
      seen.withLock { $0.append("\(job.stage.rawValue):\(job.items.map(\.id).joined())") }
      try await context.checkpoint(
        Dictionary(uniqueKeysWithValues: job.items.map { ($0.id, .done(.string("x"))) }))
      return nil
    }
    let worker = try harness.worker(
      "w1",
      [
        PipelineDefinition(
          name: "demo",
          stages: [
            .init(stage: .setup, handler: record), .init(stage: .extraction, handler: record),
          ])
      ])
    try await harness.enqueue(#"{"id":"b1","items":["A","B"]}"#)
    await harness.waitFor("completed", of: "progress:b1")
    #expect(seen.withLock { $0 } == ["setup:AB", "extraction:AB"])
    let progress = try await harness.hash("progress:b1")
    #expect(progress["items_done"] == "2")
    #expect(progress["percent"] == "100")
    await eventually("the outbox is empty") {
      try await harness.redis.cli("XLEN", "batchd:ended") == "0"
    }
    try await worker.stop()
    #expect(try await harness.redis.cli("ZCARD", "batchd:workers") == "0")
  }
}
