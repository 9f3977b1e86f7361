import Pipeline
import Synchronization
import TestSupport
import Testing
import Worker

/// `maxmemory` reached: what runs goes on to its end, only admission waits, says so, and goes on by itself.
@Suite struct FullRedisTests {
  @Test func onlyAdmissionWaitsForMemory() async throws {
    let harness = try await WorkerHarness()
    let log = LogRecorder()
    let isOpen = Mutex(false)
    let gateUses = Mutex(0)
    // Four seconds are more than two leases.
    let work = Handler { job, context in
      while !isOpen.withLock({ $0 }) { try await Task.sleep(for: .milliseconds(50)) }
      try await context.take(gate: "g", intervalMilliseconds: 10)
      gateUses.withLock { $0 += 1 }
      try await context.checkpoint(
        Dictionary(uniqueKeysWithValues: job.items.map { ($0.id, .done(.string("x"))) }))
      if job.batch == "retried", job.attempt == 1 {
        throw StageError.retry("again", afterMilliseconds: 100)
      }
      return .string("out")
    }
    let worker = try harness.worker(
      "w1",
      [
        PipelineDefinition(
          name: "demo",
          stages: [
            .init(stage: .extraction, handler: work), .init(stage: .persistence, handler: work),
          ])
      ], logger: log.logger
    ) {
      $0.leaseMilliseconds = 1_500
      $0.beatMilliseconds = 300
    }
    await harness.waitForWorker("w1")
    let ids = ["one", "two", "retried", "cancelled"]
    for id in ids {
      try await harness.enqueue(#"{"id":"\#(id)","account":"\#(id)","items":["A"]}"#)
    }
    for id in ids { await harness.waitFor("processing", of: "batch:\(id)") }
    // The last entry comes in together with the end of the memory.
    let end = try await harness.redis.shell(
      """
      rcli <<'END'
      MULTI
      LPUSH batchd:enqueue '{"id":"late","items":["A"]}'
      CONFIG SET maxmemory 1
      EXEC
      END
      """)
    #expect(!end.contains("ERR"), "\(end)")
    #expect(try await harness.redis.cli("SET", "x", "y").hasPrefix("OOM"))
    try await Task.sleep(for: .seconds(4))
    #expect(try await harness.fcall("cancel", "cancelled") == "cancelling")
    isOpen.withLock { $0 = true }
    for id in ["one", "two", "retried"] { await harness.waitFor("completed", of: "batch:\(id)") }
    await harness.waitFor("cancelled", of: "batch:cancelled")
    // Once in each stage.
    #expect(try await harness.field("batch:retried", "retry_count") == "2")
    #expect(try await harness.field("batch:one", "retry_count") == "0")
    #expect(try await harness.field("stats", "leases_lost") == "")
    #expect(gateUses.withLock { $0 } >= 6)
    await eventually("the history is written") {
      try await harness.redis.cli("XLEN", "batchd:ended") == "0"
    }
    #expect(try await harness.redis.cli("EXISTS", "batchd:batch:late") == "0")
    #expect(log.lines.filter { $0.contains("Redis is full (maxmemory)") }.count == 1)
    _ = try await harness.redis.cli("CONFIG", "SET", "maxmemory", "0")
    await harness.waitFor("completed", of: "batch:late")
    #expect(log.contains("admission goes on"))
    try await worker.stop()
  }
}
