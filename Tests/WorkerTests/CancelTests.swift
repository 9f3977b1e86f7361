import Pipeline
import Synchronization
import TestSupport
import Testing
import Worker

/// `batchd_cancel` wherever the batch is.
@Suite struct CancelTests {
  /// Holds a job until its task is cancelled, which it counts.
  private final class Holder: Sendable {
    let cancelled = Mutex<Set<String>>([])

    func hold(_ job: StageJob) async throws {
      do {
        try await Task.sleep(for: .seconds(600))
      } catch {
        cancelled.withLock { _ = $0.insert(job.batch) }
        throw error
      }
    }
  }

  @Test func cancelEndsABatchWhereverItWaitsAndARunningOneAtItsNextRenewal() async throws {
    let harness = try await WorkerHarness()
    let holder = Holder()
    let worker = try harness.worker(
      "w1",
      [
        .demo(slots: 2) { job, context in
          if job.batch.hasPrefix("backoff") {
            throw StageError.retry("no", afterMilliseconds: 600_000)
          }
          if job.batch == "running" { try await context.checkpoint(["A": .done(.null)]) }
          try await holder.hold(job)
          return nil
        }
      ])
    try await harness.enqueue(#"{"id":"backoff"}"#, #"{"id":"delayed","delay":3600}"#)
    await harness.waitFor("retrying", of: "batch:backoff")
    try await harness.enqueue(
      #"{"id":"running","account":"acme","items":["A","B"]}"#, #"{"id":"lane","account":"acme"}"#)
    await harness.waitFor("processing", of: "batch:running")
    try await harness.enqueue(#"{"id":"other"}"#)
    await harness.waitFor("processing", of: "batch:other")
    try await harness.enqueue(#"{"id":"queued"}"#)
    for (id, place) in [
      ("backoff", "delayed"), ("delayed", "delayed"), ("lane", "lane:demo:acme"),
      ("queued", "queue:demo:extraction"),
    ] {
      await eventually("\(id) is there") {
        try await harness.field("batch:\(id)", "place") == "batchd:\(place)"
      }
      #expect(try await harness.fcall("cancel", id) == "cancelled")
      let batch = try await harness.hash("batch:\(id)")
      #expect(batch["status"] == "cancelled")
      #expect(batch["place"] == "")
      #expect(batch["error"] == "cancelled")
      #expect(try await harness.field("progress:\(id)", "status") == "cancelled")
    }
    #expect(try await harness.redis.cli("ZCARD", "batchd:delayed") == "0")
    #expect(try await harness.fcall("cancel", "running") == "cancelling")
    await harness.waitFor("cancelled", of: "batch:running")
    await eventually("its handler was told") {
      holder.cancelled.withLock { $0.contains("running") }
    }
    let ended = try await harness.hash("batch:running")
    #expect(ended["items_done"] == "1")
    #expect(ended["items_failed"] == "1")
    // The rest runs: the slot and the lane are free, and what was cancelled in list and lane is skipped.
    try await harness.enqueue(#"{"id":"next","account":"acme"}"#)
    await harness.waitFor("processing", of: "batch:next")
    await eventually("the history has them") {
      try await harness.redis.cli("XLEN", "batchd:ended") == "0"
    }
    try await worker.stop()
  }

  @Test func anOperationIsCancelledWithTheBatchThatBearsItsName() async throws {
    let harness = try await WorkerHarness()
    let holder = Holder()
    let worker = try harness.worker(
      "w1",
      [
        .demo(slots: 2) { job, _ in
          if job.batch != "o3" { try await holder.hold(job) }
          return nil
        }
      ])
    try await harness.enqueue(#"{"id":"o3","operation":"o"}"#)
    await harness.waitFor("completed", of: "batch:o3")
    try await harness.enqueue(#"{"id":"o"}"#, #"{"id":"o1","operation":"o"}"#)
    await harness.waitFor("processing", of: "batch:o")
    await harness.waitFor("processing", of: "batch:o1")
    try await harness.enqueue(#"{"id":"o2","operation":"o"}"#, #"{"id":"p1","operation":"p"}"#)
    await harness.waitFor("pending", of: "batch:p1")
    #expect(
      try await harness.fcall("cancel", "operation:o")
        == "cancelled 1, cancelling 2, ended before 1")
    await eventually("all have ended") {
      try await harness.field("progress:o", "cancelled") == "3"
    }
    await harness.waitFor("completed_with_errors", of: "progress:o")
    #expect(holder.cancelled.withLock { $0 } == ["o", "o1"])
    await harness.waitFor("processing", of: "batch:p1")
    try await worker.stop()
  }

  /// Redis counts the rest in steps, for a million batches must not stop it.
  @Test func anOperationOfThousandsIsCancelledByTheWorkers() async throws {
    let harness = try await WorkerHarness()
    let worker = try harness.worker("w1", [.demo { _, _ in nil }])
    await harness.waitForWorker("w1")
    #expect(try await harness.fcall("pause", "stage:demo:extraction") == "paused")
    _ = try await harness.redis.shell(
      """
      for i in $(seq 2500); do echo "LPUSH batchd:enqueue '{\\"id\\":\\"b$i\\",\\"operation\\":\\"o\\"}'"
      done | rcli
      """)
    await eventually("all are admitted") {
      try await harness.field("progress:o", "pending") == "2500"
    }
    #expect(
      try await harness.fcall("cancel", "operation:o")
        == "cancelled 1000, cancelling 0, ended before 0; the workers cancel the rest")
    await harness.waitFor("cancelled", of: "progress:o")
    #expect(try await harness.field("progress:o", "cancelled") == "2500")
    try await worker.stop()
  }
}
