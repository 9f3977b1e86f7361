import Pipeline
import Synchronization
import TestSupport
import Testing
import Worker

/// Handlers that do not look at their cancellation.
@Suite struct StubbornHandlerTests {
  /// Runs until it is released, whatever it is told.
  private final class Deaf: Sendable {
    private let isReleased = Mutex(false)

    func release() { isReleased.withLock { $0 = true } }

    func run() async {
      while !isReleased.withLock({ $0 }) {
        // A task of its own is not cancelled with ours.
        await Task.detached { try? await Task.sleep(for: .milliseconds(20)) }.value
      }
    }
  }

  @Test func itsTimeoutEndsTheAttemptAndOtherSlotsGoOn() async throws {
    let harness = try await WorkerHarness()
    let deaf = Deaf()
    defer { deaf.release() }
    var once = RetryPolicy()
    once.retries = 0
    let worker = try harness.worker(
      "w1",
      [
        .demo(slots: 2, timeoutMilliseconds: 500, retry: once) { job, _ in
          if job.batch == "deaf" { await deaf.run() }
          return nil
        }
      ])
    try await harness.enqueue(#"{"id":"deaf","account":"a"}"#, #"{"id":"next","account":"a"}"#)
    await harness.waitFor("failed", of: "batch:deaf")
    #expect(
      try await harness.field("batch:deaf", "error")
        == "timed out after 500 ms, the timeout_ms of the stage (attempt 1, no retries left)")
    // Its lane is free, and its slot is the only one that it keeps.
    await harness.waitFor("completed", of: "batch:next")
    #expect(try await harness.events("crashed").isEmpty)
    try await worker.stop()
  }

  @Test func aDrainHandsItsBatchBackUncharged() async throws {
    let harness = try await WorkerHarness()
    let deaf = Deaf()
    defer { deaf.release() }
    let started = Mutex(false)
    let worker = try harness.worker(
      "w1",
      [
        .demo { _, _ in
          started.withLock { $0 = true }
          await deaf.run()
          return nil
        }
      ])
    try await harness.enqueue(#"{"id":"b1"}"#)
    await eventually("it runs") { started.withLock { $0 } }
    let start = ContinuousClock.now
    try await worker.stop()
    print("drain of a handler that ignores it: \(ContinuousClock.now - start)")
    #expect(try await harness.field("batch:b1", "place") == "batchd:queue:demo:extraction")
    #expect(try await harness.field("batch:b1", "attempt") == "1")
    #expect(try await harness.events("handed_back").map(\.["batch"]) == ["b1"])
    #expect(try await harness.events("crashed").isEmpty)
  }
}
