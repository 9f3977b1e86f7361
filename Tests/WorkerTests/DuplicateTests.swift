import Pipeline
import Synchronization
import TestSupport
import Testing
import Worker

/// An id is run once within retention, unless a rerun is asked for.
@Suite struct DuplicateTests {
  @Test func theSameEnvelopeTwiceRunsOnceAndARerunRunsAgain() async throws {
    let harness = try await WorkerHarness()
    let runs = Mutex<[String]>([])
    let worker = try harness.worker(
      "w1",
      [
        .demo { job, context in
          runs.withLock { $0.append("\(job.batch)/\(job.run):\(job.items.map(\.id).joined())") }
          try await context.checkpoint(
            Dictionary(uniqueKeysWithValues: job.items.map { ($0.id, .done(.null)) }))
          return nil
        }
      ])
    let envelope = #"{"id":"b1","items":["A","B"]}"#
    try await harness.enqueue(envelope, envelope)
    await harness.waitFor("completed", of: "progress:b1")
    try await harness.enqueue(envelope)
    await eventually("both are counted") {
      try await harness.field("stats", "duplicates") == "2"
    }
    #expect(runs.withLock { $0 } == ["b1/1:AB"])
    #expect(try await harness.events("duplicate").map(\.["batch"]) == ["b1", "b1"])
    #expect(try await harness.field("progress:b1", "total") == "1")

    try await harness.enqueue(#"{"id":"b1","items":["A","B","C"],"rerun":true}"#)
    await eventually("the rerun ends") { runs.withLock { $0.count } == 2 }
    await harness.waitFor("completed", of: "progress:b1")
    #expect(runs.withLock { $0 } == ["b1/1:AB", "b1/2:ABC"])
    let progress = try await harness.hash("progress:b1")
    #expect(progress["total"] == "1")
    #expect(progress["items_total"] == "3")
    #expect(progress["items_done"] == "3")
    #expect(progress["percent"] == "100")
    try await worker.stop()
  }

  @Test func aRerunOfALiveBatchIsRejected() async throws {
    let harness = try await WorkerHarness()
    let worker = try harness.worker("w1", [.demo { _, _ in nil }])
    try await harness.enqueue(#"{"id":"b1","delay":3600}"#, #"{"id":"b1","rerun":true}"#)
    await eventually("it is rejected") {
      try await harness.redis.cli("LINDEX", "batchd:rejected", "0")
        .contains(#"rerun: "b1" is still pending; cancel it first or wait"#)
    }
    #expect(try await harness.field("batch:b1", "status") == "pending")
    try await worker.stop()
  }
}
