import Pipeline
import Queue
import Redis
import TestSupport
import Testing
import Worker

/// Two machines of one name: a cloned machine id, and the same instance name on both.
@Suite struct CloneTests {
  /// The worker w1 of another machine that calls itself by the same host name.
  private func clone(_ harness: WorkerHarness) async throws -> ConnectedQueue {
    try await harness.registered("w1", boot: "another-boot.1/77-1")
  }

  private func beat(_ queue: Queue, _ leases: [Lease]) async throws -> [LeaseState] {
    try await queue.renew(
      leases, boot: "another-boot.1/77-1",
      lists: [StageList(pipeline: "demo", stage: .extraction)], counters: [],
      leaseMilliseconds: 15_000
    ).leases
  }

  @Test func theSecondIsRefusedInClearWordsAndTouchesNothingOfTheFirst() async throws {
    let harness = try await WorkerHarness()
    let log = LogRecorder()
    let first = try await clone(harness)
    try await harness.enqueue(#"{"id":"a"}"#, #"{"id":"b"}"#)
    try await first.admit()
    let claims = try await first.claim(count: 1, leaseMilliseconds: 15_000)
    _ = try await harness.redis.cli(
      "LMOVE", "batchd:queue:demo:extraction", "batchd:intake:w1:demo:extraction", "RIGHT", "LEFT")
    let second = try harness.worker("w1", [.demo { _, _ in nil }], logger: log.logger)
    await eventually("it waits whether the other lives") {
      log.contains("another worker of this name")
    }
    #expect(try await beat(first.queue, claims.map(\.lease)) == [.held])
    let error = await #expect(throws: QueueError.self) { try await second.ended() }
    #expect(error?.code == .twin)
    #expect(error?.message.contains("worker w1 runs on host test with pid 77") == true)
    #expect(error?.message.contains("/etc/machine-id") == true)
    #expect(try await beat(first.queue, claims.map(\.lease)) == [.held])
    #expect(try await harness.redis.cli("LLEN", "batchd:intake:w1:demo:extraction") == "1")
    #expect(try await harness.events("crashed").isEmpty)
  }

  /// On one machine the kernel knows, however long the names are.
  @Test func oneNameIsServedByOneProcessOfAMachine() async throws {
    let harness = try await WorkerHarness()
    let long = String(repeating: "w", count: 110)
    let workers = try ["1", "2"].map { try harness.worker(long + $0, [.demo { _, _ in nil }]) }
    for name in ["1", "2"] { await harness.waitForWorker(long + name) }
    let third = try harness.worker(long + "1", [.demo { _, _ in nil }])
    let error = await #expect(throws: WorkerError.self) { try await third.ended() }
    #expect(error?.code == .twin)
    for worker in workers { try await worker.stop() }
  }

  /// A machine that was rebooted, or a container that was made anew: the earlier life stays silent.
  @Test func theNameOfASilentOneIsTakenOverWithItsWork() async throws {
    let harness = try await WorkerHarness()
    let log = LogRecorder()
    let first = try await clone(harness)
    try await harness.enqueue(#"{"id":"a"}"#)
    try await first.admit()
    _ = try await first.claim(count: 1, leaseMilliseconds: 600_000)
    let second = try harness.worker("w1", [.demo { _, _ in nil }], logger: log.logger)
    await eventually("it waits whether the other lives") {
      log.contains("another worker of this name")
    }
    let now = try #require(Int(try await harness.redis.cli("TIME").prefix(10)))
    _ = try await harness.redis.cli("ZADD", "batchd:workers", "\((now - 31) * 1_000)", "w1")
    await harness.waitFor("completed", of: "batch:a")
    let late = await #expect(throws: QueueError.self) { try await beat(first.queue, []) }
    #expect(late?.code == .twin)
    try await second.stop()
  }
}
