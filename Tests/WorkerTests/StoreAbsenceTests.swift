import Stores
import TestSupport
import Testing
import Worker

/// A store that is away: batches wait, and the log says why.
@Suite struct StoreAbsenceTests {
  @Test func theLogSaysSoOnceAMinute() async throws {
    let harness = try await WorkerHarness()
    let log = LogRecorder()
    let worker = try harness.worker(
      "w1",
      [
        .demo { _, _ in
          throw StoreError(.unavailable, "store.sqlite was removed or replaced")
        }
      ], logger: log.logger)
    try await harness.enqueue(#"{"id":"b1"}"#, #"{"id":"b2"}"#, #"{"id":"b3"}"#)
    await eventually("all wait") {
      try await harness.redis.cli("ZCARD", "batchd:delayed") == "3"
    }
    let lines = log.lines.filter { $0.contains("store") }
    #expect(lines.count == 1, "\(lines)")
    #expect(lines.first?.hasPrefix("warning the store cannot be used; batches wait") == true)
    #expect(lines.first?.contains("store.sqlite was removed or replaced") == true)
    try await worker.stop()
  }
}
