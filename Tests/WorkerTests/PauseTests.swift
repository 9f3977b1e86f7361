import Pipeline
import Synchronization
import TestSupport
import Testing
import Worker

/// Running work goes on to the end of its stage, nothing new starts.
@Suite struct PauseTests {
  @Test(arguments: ["all", "pipeline:demo", "stage:demo:extraction", "account:acme"])
  func nothingStartsUntilItIsResumed(what: String) async throws {
    let harness = try await WorkerHarness()
    let started = Mutex<[String]>([])
    let mayGoOn = Mutex(false)
    let worker = try harness.worker(
      "w1",
      [
        PipelineDefinition(
          name: "demo",
          stages: [
            .init(
              stage: .setup,
              handler: Handler { job, _ in
                started.withLock { $0.append("\(job.batch):setup") }
                while !mayGoOn.withLock({ $0 }) { try await Task.sleep(for: .milliseconds(10)) }
                return nil
              }),
            .init(
              stage: .extraction,
              handler: Handler { job, _ in
                started.withLock { $0.append("\(job.batch):extraction") }
                return nil
              }),
          ])
      ])
    try await harness.enqueue(#"{"id":"b1","account":"acme"}"#)
    await eventually("it runs") { started.withLock { $0 } == ["b1:setup"] }
    #expect(try await harness.fcall("pause", what) == "paused")
    #expect(try await harness.redis.cli("SMEMBERS", "batchd:paused") == what)
    mayGoOn.withLock { $0 = true }
    // Its stage ends, the next does not begin: it waits in the list, or for its account at the front of its lane.
    let place = what == "account:acme" ? "batchd:lane:demo:acme" : "batchd:queue:demo:extraction"
    await eventually("it waits") { try await harness.field("batch:b1", "place") == place }
    try await beats(2, harness)
    #expect(started.withLock { $0 } == ["b1:setup"])
    if what == "account:acme" {
      try await harness.enqueue(#"{"id":"b2","account":"other"}"#)
      await harness.waitFor("completed", of: "batch:b2")
    }
    #expect(try await harness.fcall("resume", what) == "resumed")
    await harness.waitFor("completed", of: "batch:b1")
    #expect(try await harness.redis.cli("EXISTS", "batchd:paused") == "0")
    try await worker.stop()
  }

  private func beats(_ count: Int, _ harness: WorkerHarness) async throws {
    for _ in 0..<count {
      let last = try await harness.field("worker:w1", "beat_at")
      await eventually("a beat") { try await harness.field("worker:w1", "beat_at") != last }
    }
  }
}
