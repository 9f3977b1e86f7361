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

  /// Either host admits for both; each works on its own pipelines only.
  @Test func hostsServeDifferentPipelines() async throws {
    let harness = try await WorkerHarness()
    let seen = Mutex<[String: Set<String>]>([:])
    func pipeline(_ name: String, of worker: String) -> PipelineDefinition {
      PipelineDefinition(
        name: name,
        stages: [
          .init(
            stage: .metadata,
            handler: Handler { job, _ in
              seen.withLock { _ = $0[worker, default: []].insert("\(job.pipeline)/\(job.batch)") }
              return nil
            })
        ])
    }
    let workers = [
      try harness.worker("w1", [pipeline("left", of: "w1")]),
      try harness.worker("w2", [pipeline("right", of: "w2")]),
    ]
    for name in ["w1", "w2"] { await harness.waitForWorker(name) }
    for number in 0..<20 {
      let name = number.isMultiple(of: 2) ? "left" : "right"
      try await harness.enqueue(
        #"{"id":"b\#(number)","operation":"o","pipeline":"\#(name)","size":20}"#)
    }
    #expect(await harness.waitFor("completed", of: "progress:o"))
    for worker in workers { try await worker.stop() }
    let even = Set((0..<20).filter { $0.isMultiple(of: 2) }.map { "left/b\($0)" })
    let odd = Set((0..<20).filter { !$0.isMultiple(of: 2) }.map { "right/b\($0)" })
    #expect(seen.withLock { $0 } == ["w1": even, "w2": odd])
  }
}
