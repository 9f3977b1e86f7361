import Pipeline
import Synchronization
import TestSupport
import Testing
import Worker

/// Item errors against batch errors.
@Suite struct ItemErrorTests {
  private func pipeline(_ seen: SeenItems) -> PipelineDefinition {
    PipelineDefinition(
      name: "demo",
      stages: [
        .init(
          stage: .extraction,
          handler: Handler { job, context in
            seen.add(job)
            for item in job.items {
              let fails = item.id.hasPrefix("bad")
              try await context.checkpoint(
                [item.id: fails ? .failed("\(item.id) is gone") : .done(.string(item.id))])
            }
            return nil
          }),
        .init(
          stage: .persistence,
          handler: Handler { job, context in
            seen.add(job)
            let outputs = try await context.outputs(of: .extraction)
            try await context.checkpoint(outputs.mapValues { .done($0) })
            return nil
          }),
      ], counts: .extraction)
  }

  @Test func someFailedForGoodEndsCompletedWithErrors() async throws {
    let harness = try await WorkerHarness()
    let seen = SeenItems()
    let worker = try harness.worker("w1", [pipeline(seen)])
    try await harness.enqueue(
      #"{"id":"b1","account":"acme","items":["A","bad1","B",{"id":"bad2"}]}"#)
    await harness.waitFor("completed_with_errors", of: "progress:b1")
    #expect(seen.jobs == ["extraction:A bad1 B bad2", "persistence:A B"])
    #expect(
      try await harness.hash("errors:b1") == ["bad1": "bad1 is gone", "bad2": "bad2 is gone"])
    let progress = try await harness.hash("progress:b1")
    #expect(progress["completed_with_errors"] == "1")
    #expect(progress["items_done"] == "2")
    #expect(progress["items_failed"] == "2")
    #expect(progress["percent"] == "100")
    #expect(try await harness.redis.cli("EXISTS", "batchd:failed") == "0")
    #expect(
      try await harness.fcall("retry", "b1") == "retrying run 2 from extraction")
    await eventually("it ran again") { seen.jobs.count == 4 }
    #expect(seen.jobs.suffix(2) == ["extraction:bad1 bad2", "persistence:"])
    try await worker.stop()
  }

  @Test func allFailedEndsFailed() async throws {
    let harness = try await WorkerHarness()
    let seen = SeenItems()
    let worker = try harness.worker("w1", [pipeline(seen)])
    try await harness.enqueue(#"{"id":"b1","items":["bad1","bad2"]}"#, #"{"id":"b2","items":[]}"#)
    await harness.waitFor("failed", of: "progress:b1")
    #expect(
      try await harness.field("batch:b1", "error")
        == "all 2 items failed; see batchd:errors:b1")
    #expect(seen.jobs.filter { $0.contains("bad") } == ["extraction:bad1 bad2"])
    // Nothing to do is done at once.
    await harness.waitFor("completed", of: "progress:b2")
    #expect(try await harness.field("progress:b2", "percent") == "100")
    try await worker.stop()
  }

  @Test func progressMovesWithEachCheckpointAndAlwaysSums() async throws {
    let harness = try await WorkerHarness()
    let allowed = Mutex(0)
    let worker = try harness.worker(
      "w1",
      [
        .demo { job, context in
          for (index, item) in job.items.enumerated() {
            while allowed.withLock({ $0 }) <= index { try await Task.sleep(for: .milliseconds(2)) }
            try await context.checkpoint([item.id: index == 1 ? .failed("no") : .done(.null)])
          }
          return nil
        }
      ])
    try await harness.enqueue(#"{"id":"b1","items":["A","B","C","D"]}"#)
    await harness.waitFor("processing", of: "progress:b1")
    for (index, percent) in ["25", "50", "75"].enumerated() {
      allowed.withLock { $0 = index + 1 }
      await eventually("\(percent) %") {
        try await harness.field("progress:b1", "percent") == percent
      }
      let progress = try await harness.hash("progress:b1").compactMapValues { Int($0) }
      #expect(progress["items_done"]! + progress["items_failed"]! == index + 1)
      #expect(progress["total"] == 1)
      #expect(progress["processing"] == 1)
    }
    allowed.withLock { $0 = 4 }
    await harness.waitFor("completed_with_errors", of: "progress:b1")
    try await worker.stop()
  }
}

/// `STAGE:ITEM ITEM…` of each job that ran.
private final class SeenItems: Sendable {
  private let list = Mutex<[String]>([])

  func add(_ job: StageJob) {
    list.withLock {
      $0.append("\(job.stage.rawValue):\(job.items.map(\.id).joined(separator: " "))")
    }
  }

  var jobs: [String] { list.withLock { $0 } }
}
