import Pipeline
import Synchronization
import TestSupport
import Testing
import Worker

/// Silence is cheap.
@Suite struct IdleTests {
  @Test func anIdleWorkerSendsAtMost12CommandsAMinuteAndReactsToAPushAtOnce() async throws {
    let harness = try await WorkerHarness()
    let started = Mutex<[String: ContinuousClock.Instant]>([:])
    let handler = Handler { job, _ in
      started.withLock { $0[job.batch] = $0[job.batch] ?? .now }
      return nil
    }
    let defaults = WorkerConfiguration(name: "", host: "", version: "", pipelines: [])
    let worker = try harness.worker(
      "w1",
      [
        PipelineDefinition(
          name: "demo", stages: Stage.allCases.map { .init(stage: $0, handler: handler) })
      ]
    ) {
      $0.beatMilliseconds = defaults.beatMilliseconds
      $0.idleBeatMilliseconds = defaults.idleBeatMilliseconds
    }
    try await harness.enqueue(#"{"id":"before","account":"acme","items":["A"]}"#)
    await harness.waitFor("completed", of: "batch:before")
    // What follows an end (outbox, re-armed fetches) is not idleness yet.
    try await Task.sleep(for: .seconds(2))

    let shown = try await harness.redis.shell(
      #"timeout 60 redis-cli -s "$0" MONITOR; [ $? = 124 ]"#)
    let commands = shown.split(separator: "\n").filter {
      $0.contains("] \"") && !$0.contains(" lua] ")
    }
    #expect((1...12).contains(commands.count), "\(commands.joined(separator: "\n"))")

    for id in ["after", "again"] {
      let pushed = ContinuousClock.now
      try await harness.enqueue(#"{"id":"\#(id)"}"#)
      await harness.waitFor("completed", of: "batch:\(id)")
      let start = try #require(started.withLock { $0[id] })
      // A worker that found it by its beat would take seconds.
      #expect(start - pushed < .milliseconds(1_000))
    }
    try await worker.stop()
  }
}
