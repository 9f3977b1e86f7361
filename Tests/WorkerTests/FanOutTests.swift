import Pipeline
import Synchronization
import TestSupport
import Testing
import Worker

/// A checkpoint admits children together with its cursor in one step.
@Suite struct FanOutTests {
  private static func child(_ number: Int) -> JSON {
    .object([
      "id": .string("c\(number)"), "account": .string("acme"), "items": .array([.integer(1)]),
    ])
  }

  @Test func childrenAreAdmittedOnceThoughTheParentIsTriedAgain() async throws {
    let harness = try await WorkerHarness()
    let cursors = Mutex<[JSON?]>([])
    let children = Mutex<[String]>([])
    var policy = RetryPolicy()
    policy.backoffMilliseconds = 20
    let worker = try harness.worker(
      "w1",
      [
        .demo(retry: policy) { job, context in
          guard job.batch == "parent" else {
            children.withLock { $0.append(job.batch) }
            return nil
          }
          cursors.withLock { $0.append(job.cursor) }
          try await context.checkpoint(
            [:], cursor: .integer(3), children: (1...3).map(Self.child))
          if job.attempt == 1 { throw StageError.retry("the service went away") }
          try await context.checkpoint(
            [:], cursor: .integer(5), children: (3...5).map(Self.child))
          return nil
        }
      ])
    try await harness.enqueue(#"{"id":"parent","operation":"o","size":6}"#)
    await harness.waitFor("completed", of: "progress:o")
    #expect(cursors.withLock { $0 } == [nil, .integer(3)])
    #expect(children.withLock { $0 } == ["c1", "c2", "c3", "c4", "c5"])
    let progress = try await harness.hash("progress:o")
    #expect(progress["total"] == "6")
    #expect(progress["completed"] == "6")
    #expect(progress["items_total"] == "5")
    try await worker.stop()
  }

  @Test func aCancelledParentAdmitsNothingMoreAndItsRetryGoesOnFromItsCursor() async throws {
    let harness = try await WorkerHarness()
    let cursors = Mutex<[JSON?]>([])
    let mayCheckpoint = Mutex(false)
    let worker = try harness.worker(
      "w1",
      [
        .demo { job, context in
          guard job.batch == "parent" else { return nil }
          cursors.withLock { $0.append(job.cursor) }
          if job.run == 1 {
            try await context.checkpoint([:], cursor: .integer(1), children: [Self.child(1)])
          }
          while !mayCheckpoint.withLock({ $0 }) { try await Task.sleep(for: .milliseconds(5)) }
          try await context.checkpoint(
            ["A": .done(.null)], cursor: .integer(2), children: [Self.child(2)])
          return nil
        }
      ]
    ) {
      // The checkpoint must be the first to hear of it.
      $0.beatMilliseconds = 60_000
      $0.leaseMilliseconds = 120_000
    }
    try await harness.enqueue(#"{"id":"parent","items":["A"]}"#)
    await harness.waitFor("completed", of: "batch:c1")
    #expect(try await harness.fcall("cancel", "parent") == "cancelling")
    mayCheckpoint.withLock { $0 = true }
    await harness.waitFor("cancelled", of: "batch:parent")
    #expect(try await harness.redis.cli("EXISTS", "batchd:batch:c2") == "0")
    #expect(try await harness.field("batch:parent", "items_done") == "1")
    #expect(try await harness.fcall("retry", "parent") == "retrying run 2 from extraction")
    // The second run reports an item that is done already; that is refused, so give it nothing to report.
    await eventually("it runs again") { cursors.withLock { $0.count } == 2 }
    #expect(cursors.withLock { $0 } == [nil, .integer(1)])
    try await worker.stop()
  }

  @Test func aChildThatCannotBeAdmittedAsAskedFailsItsParent() async throws {
    let harness = try await WorkerHarness()
    let worker = try harness.worker(
      "w1",
      [
        .demo { _, context in
          let child: JSON = .object(["id": .string("c1"), "delay": .integer(60)])
          try await context.checkpoint([:], children: [child])
          return nil
        }
      ])
    try await harness.enqueue(#"{"id":"parent"}"#)
    await harness.waitFor("failed", of: "batch:parent")
    #expect(
      try await harness.field("batch:parent", "error")
        == "children: c1: a child cannot have delay, at, size or rerun")
    #expect(try await harness.redis.cli("EXISTS", "batchd:batch:c1") == "0")
    try await worker.stop()
  }

  @Test func anOperationOfADeclaredSizeIsFinishedWhenItIsReached() async throws {
    let harness = try await WorkerHarness()
    let worker = try harness.worker("w1", [.demo { _, _ in nil }])
    try await harness.enqueue(
      #"{"id":"b1","operation":"o","size":4}"#, #"{"operation":"o"}"#, #"{"operation":"o"}"#)
    await eventually("three are done") { try await harness.field("progress:o", "completed") == "3" }
    var progress = try await harness.hash("progress:o")
    #expect(progress["status"] == "processing")
    #expect(progress["percent"] == "75")
    #expect(progress["finished_at"] == nil)
    try await harness.enqueue(#"{"operation":"o","id":"b4"}"#)
    await harness.waitFor("completed", of: "progress:o")
    try await harness.enqueue(#"{"operation":"o","id":"b5"}"#)
    await eventually("the operation was opened and finished again") {
      try await harness.events("operation_finished").count == 2
    }
    #expect(try await harness.events("operation_reopened").count == 1)
    progress = try await harness.hash("progress:o")
    #expect(progress["completed"] == "5")
    #expect(progress["percent"] == "100")
    try await worker.stop()
  }
}
