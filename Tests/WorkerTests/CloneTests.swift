import Pipeline
import Queue
import Redis
import TestSupport
import Testing
import Worker

/// Two machines of one name: a cloned machine id, and the same instance name on both.
@Suite struct CloneTests {
  /// Registers as the worker w1 of another machine that calls itself by the same host name.
  private func clone(_ harness: WorkerHarness) async throws -> ConnectedQueue {
    let other = try harness.queue("w1")
    try await register(other.queue, boot: "another-boot.1/77-1")
    return other
  }

  private func register(_ queue: Queue, boot: String) async throws {
    try await queue.register(
      boot: boot, host: "test", pid: 77, version: "test", store: try await identity(queue),
      slots: 1, quietMilliseconds: 3_600_000,
      pipelines: [.init(name: "demo", stages: [.extraction], counts: .extraction)])
  }

  /// Whatever store is on record; the harness's worker takes it over.
  private func identity(_ queue: Queue) async throws -> String {
    try await queue.client.call(["HGET", "batchd:store", "identity"]).text ?? "unset"
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
    _ = try await harness.redis.cli("DEL", "batchd:store")
    try await harness.enqueue(#"{"id":"a"}"#, #"{"id":"b"}"#)
    let entries = try await first.queue.intake(count: 2)
    _ = try await first.queue.admit(entries, defaultPipeline: "demo")
    let list = StageList(pipeline: "demo", stage: .extraction)
    guard
      case .batches(let claims) = try await first.queue.claim(
        list, count: 1, leaseMilliseconds: 15_000)
    else {
      Issue.record("paused")
      return
    }
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

  /// A machine that was rebooted, or a container that was made anew: the earlier life stays silent.
  @Test func theNameOfASilentOneIsTakenOverWithItsWork() async throws {
    let harness = try await WorkerHarness()
    let log = LogRecorder()
    let first = try await clone(harness)
    _ = try await harness.redis.cli("DEL", "batchd:store")
    try await harness.enqueue(#"{"id":"a"}"#)
    let entries = try await first.queue.intake(count: 2)
    _ = try await first.queue.admit(entries, defaultPipeline: "demo")
    _ = try await first.queue.claim(
      StageList(pipeline: "demo", stage: .extraction), count: 1, leaseMilliseconds: 600_000)
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
