import CoreMetrics
import MetricsTestKit
import Pipeline
import Queue
import Redis
import Stages
import TestSupport
import Testing
import Worker

/// What a worker measures, as it stands in its hash.
@Suite struct MetricsTests {
  private static func job(_ outcome: String) -> String {
    #"batchd_stage_jobs_total{outcome="\#(outcome)",pipeline="demo",stage="extraction"}"#
  }

  private static func items(_ outcome: String) -> String {
    #"batchd_items_total{outcome="\#(outcome)",pipeline="demo",stage="extraction"}"#
  }

  private static let time = #"batchd_stage_seconds{pipeline="demo",stage="extraction"}"#

  private static var quick: RetryPolicy {
    var policy = RetryPolicy()
    policy.backoffMilliseconds = 10
    return policy
  }

  /// Snoozes, retries, fails or finishes as the batch's name says, each of them once.
  private static func demo() -> PipelineDefinition {
    .demo(retry: quick) { job, context in
      switch (job.batch, job.attempt) {
      case ("retried", 1): throw StageError.retry("again")
      case ("failed", _): throw StageError.permanent("no")
      case ("cancelled", _): try await Task.sleep(for: .seconds(60))
      case ("closed", 1) where job.cursor == nil:
        try await context.checkpoint([:], cursor: .integer(1))
        try await context.take(gate: "g", intervalMilliseconds: 1)
        try await context.close(gate: "g", forMilliseconds: 2_100, reason: "429")
        try await context.take(gate: "g", intervalMilliseconds: 1)
      case ("items", _):
        try await context.checkpoint(["A": .done(.null), "B": .done(.null), "C": .failed("c")])
      default: break
      }
      return nil
    }
  }

  @Test func everyAttemptIsCountedOnce() async throws {
    let harness = try await WorkerHarness()
    let worker = try harness.worker("w1", [Self.demo()])
    try await harness.enqueue(
      #"{"id":"retried"}"#, #"{"id":"failed"}"#, #"{"id":"cancelled"}"#, #"{"id":"closed"}"#,
      #"{"id":"items","items":["A","B","C"]}"#)
    await harness.waitFor("processing", of: "batch:cancelled")
    _ = try await harness.fcall("cancel", "cancelled")
    await harness.waitFor("completed", of: "batch:closed")
    var hash: [String: String] = [:]
    let batch = #"batchd_batch_seconds{pipeline="demo",status="#
    let expected = [
      Self.job("finished"): "3", Self.job("failed"): "1", Self.job("retried"): "1",
      Self.job("snoozed"): "1", Self.job("cancelled"): "1", Self.job("lost"): "0",
      Self.job("handed_back"): "0", Self.items("done"): "2", Self.items("failed"): "1",
      #"batchd_gate_refusals_total{pipeline="demo",stage="extraction"}"#: "1",
      "finished": "3", "failed": "1", "retried": "1", "snoozed": "1", "cancelled": "1", "lost": "0",
    ]
    let counts = [
      (Self.time, 7), (#"batchd_gate_wait_seconds{pipeline="demo",stage="extraction"}"#, 1),
      (#"batchd_batch_wait_seconds{pipeline="demo"}"#, 5), (batch + "\"completed\"}", 2),
      (batch + "\"completed_with_errors\"}", 1), (batch + "\"failed\"}", 1),
      (batch + "\"cancelled\"}", 1),
    ]
    await eventually("the beats have told of it all") {
      hash = try await harness.hash("worker:w1")
      return expected.allSatisfy { hash[$0.key] == $0.value }
        && counts.allSatisfy { hash[$0.0]?.contains(" +Inf=\($0.1) ") == true }
    }
    for (field, value) in expected { #expect(hash[field] == value, "\(field)") }
    for (field, count) in counts {
      #expect(hash[field]?.contains(" +Inf=\(count) ") == true, "\(field) \(hash[field] ?? "")")
    }
    try await worker.stop()
  }

  @Test func aBeatTellsWhatHasChangedAndEverythingToARedisThatForgot() async throws {
    let harness = try await WorkerHarness()
    let worker = try harness.worker("w1", [.demo { _, _ in nil }])
    try await harness.enqueue(#"{"id":"b1"}"#)
    await eventually("it is told") {
      try await harness.field("worker:w1", Self.job("finished")) == "1"
    }
    // Nobody takes them away, but so it shows what a beat writes.
    _ = try await harness.redis.cli(
      "HDEL", "batchd:worker:w1", Self.job("finished"), Self.job("failed"), Self.time)
    let beat = try await harness.field("worker:w1", "beat_at")
    try await harness.enqueue(#"{"id":"b2"}"#)
    await eventually("the next one is told") {
      try await harness.field("worker:w1", Self.job("finished")) == "2"
    }
    #expect(try await harness.field("worker:w1", "beat_at") != beat)
    #expect(try await harness.field("worker:w1", Self.job("failed")) == "")
    #expect(try await harness.field("worker:w1", Self.time).contains("+Inf=2 "))

    _ = try await harness.redis.cli("DEL", "batchd:worker:w1")
    await eventually("all of it is back") {
      try await harness.field("worker:w1", Self.job("failed")) == "0"
    }
    #expect(try await harness.field("worker:w1", Self.job("finished")) == "2")
    #expect(try await harness.field("worker:w1", Self.time).contains("+Inf=2 "))
    try await worker.stop()
  }

  /// A program with a worker inside may have bootstrapped swift-metrics for itself.
  @Test func whatTheProgramBootstrappedRecordsToo() async throws {
    let harness = try await WorkerHarness()
    let metrics = TestMetrics()
    let worker = try withMetricsFactory(metrics) {
      try harness.worker("w1", [.demo { _, _ in nil }])
    }
    try await harness.enqueue(#"{"id":"b1"}"#)
    await eventually("it is told") {
      try await harness.field("worker:w1", Self.job("finished")) == "1"
    }
    let labels = [("pipeline", "demo"), ("stage", "extraction")]
    let finished = try metrics.expectCounter(
      "batchd_stage_jobs_total", [("outcome", "finished")] + labels)
    #expect(finished.totalValue == 1)
    #expect(try metrics.expectTimer("batchd_stage_seconds", labels).values.count == 1)
    try await worker.stop()
  }
}
