import Pipeline
import Synchronization
import TestSupport
import Testing
import Worker

/// One batch per account under way, in admission order; accounts run in parallel.
@Suite struct LaneTests {
  /// What ran, in order, and how many at once.
  private final class Witness: Sendable {
    struct Seen {
      var order: [String] = []
      var running: [String: Int] = [:]
      var mostPerAccount = 0
      var mostAtOnce = 0
    }
    let seen = Mutex(Seen())

    func run(_ job: StageJob, for time: Duration) async throws {
      let account = job.account ?? job.batch
      seen.withLock { seen in
        seen.order.append(job.batch)
        seen.running[account, default: 0] += 1
        seen.mostPerAccount = max(seen.mostPerAccount, seen.running[account, default: 0])
        seen.mostAtOnce = max(seen.mostAtOnce, seen.running.values.reduce(0, +))
      }
      defer { seen.withLock { $0.running[account, default: 0] -= 1 } }
      try await Task.sleep(for: time)
    }

    func order(of prefix: String) -> [String] {
      seen.withLock { $0.order.filter { $0.hasPrefix(prefix) } }
    }
  }

  @Test func twoBatchesOfOneAccountAreNeverUnderWayAtOnceNorOutOfOrder() async throws {
    let harness = try await WorkerHarness()
    let witness = Witness()
    let stages = [Stage.setup, .extraction, .persistence].map { stage in
      StageDefinition(
        stage: stage,
        handler: Handler { job, _ in
          if job.stage == .extraction {
            try await witness.run(job, for: .milliseconds(15))
            // A retry keeps the lane: order within an account is strict.
            if job.attempt == 1, job.batch.hasSuffix("-3") {
              throw StageError.retry("again", afterMilliseconds: 30)
            }
          }
          return nil
        })
    }
    let pipeline = PipelineDefinition(name: "demo", stages: stages)
    let first = try harness.worker("w1", [pipeline])
    let second = try harness.worker("w2", [pipeline])
    _ = try await harness.redis.shell(
      """
      for i in $(seq 10); do for a in acme beta gamma delta; do
      echo "LPUSH batchd:enqueue '{\\"id\\":\\"$a-$i\\",\\"account\\":\\"$a\\",\\"operation\\":\\"o\\"}'"
      done; done | rcli
      """)
    await harness.waitFor("completed", of: "progress:o")
    for account in ["acme", "beta", "gamma", "delta"] {
      let order = (1...10).flatMap {
        $0 == 3 ? ["\(account)-3", "\(account)-3"] : ["\(account)-\($0)"]
      }
      #expect(witness.order(of: account) == order)
    }
    #expect(witness.seen.withLock { $0.mostPerAccount } == 1)
    #expect(witness.seen.withLock { $0.mostAtOnce } > 1)
    #expect(try await harness.redis.cli("EXISTS", "batchd:lanes") == "0")
    let account = try await harness.hash("progress:o:acme")
    #expect(account["last_batch_completed"] == "10")
    #expect(account["status"] == "completed")
    #expect(account["current_batch"] == "")
    #expect(account["next_batch_to_process"] == "")
    try await first.stop()
    try await second.stop()
  }

  @Test func highPriorityGoesToTheFrontOfLaneAndList() async throws {
    let harness = try await WorkerHarness()
    let witness = Witness()
    let mayGoOn = Mutex(false)
    let worker = try harness.worker(
      "w1",
      [
        .demo(slots: 1) { job, _ in
          try await witness.run(job, for: .zero)
          while !mayGoOn.withLock({ $0 }) { try await Task.sleep(for: .milliseconds(5)) }
          return nil
        }
      ])
    try await harness.enqueue(#"{"id":"l0","account":"acme"}"#)
    await harness.waitFor("processing", of: "batch:l0")
    try await harness.enqueue(
      #"{"id":"l1","account":"acme"}"#, #"{"id":"l2","account":"acme","priority":"high"}"#,
      #"{"id":"q1"}"#, #"{"id":"q2"}"#, #"{"id":"q3","priority":"high"}"#)
    await harness.waitFor("pending", of: "batch:q3")
    mayGoOn.withLock { $0 = true }
    for id in ["l1", "l2", "q1", "q2", "q3"] {
      await harness.waitFor("completed", of: "batch:\(id)")
    }
    #expect(witness.order(of: "l") == ["l0", "l2", "l1"])
    #expect(witness.order(of: "q") == ["q3", "q1", "q2"])
    try await worker.stop()
  }

  @Test func delayAndAtHoldABatchBackByRedissClock() async throws {
    let harness = try await WorkerHarness()
    let worker = try harness.worker("w1", [.demo { _, _ in nil }])
    await harness.waitForWorker("w1")
    let clock = try await harness.redis.cli("TIME").split(separator: "\n").compactMap { Int64($0) }
    let at = Timestamp(milliseconds: clock[0] * 1000 + clock[1] / 1000 + 4_000)
    try await harness.enqueue(
      #"{"id":"delayed","delay":0.5}"#, #"{"id":"at","at":"\#(at)"}"#,
      #"{"id":"past","at":"2020-01-01T00:00:00+02:00"}"#)
    for id in ["delayed", "at", "past"] { await harness.waitFor("completed", of: "batch:\(id)") }
    func moment(_ id: String, _ field: String) async throws -> Int64 {
      let text = try await harness.field("batch:\(id)", field)
      return try #require(Timestamp(rfc3339: text)).milliseconds
    }
    #expect(try await moment("at", "started_at") >= at.milliseconds)
    let delay = try await moment("delayed", "started_at") - moment("delayed", "admitted_at")
    #expect(delay >= 500)
    #expect(
      try await harness.events("due").map(\.["batch"]).sorted { $0! < $1! } == ["at", "delayed"])
    try await worker.stop()
  }

  @Test func aPausedAccountParksItsBatchAtTheFrontOfItsLane() async throws {
    let harness = try await WorkerHarness()
    let witness = Witness()
    let worker = try harness.worker(
      "w1",
      [
        .demo { job, _ in
          try await witness.run(job, for: .zero)
          return nil
        }
      ])
    await harness.waitForWorker("w1")
    #expect(try await harness.fcall("pause", "account:acme") == "paused")
    try await harness.enqueue(
      #"{"id":"a1","account":"acme"}"#, #"{"id":"a2","account":"acme"}"#,
      #"{"id":"b1","account":"beta"}"#)
    await harness.waitFor("completed", of: "batch:b1")
    #expect(try await harness.redis.cli("LRANGE", "batchd:lane:demo:acme", "0", "-1") == "a2\na1")
    #expect(try await harness.field("lanes", "demo:acme") == "a1")
    #expect(try await harness.fcall("resume", "account:acme") == "resumed")
    await harness.waitFor("completed", of: "batch:a2")
    #expect(witness.order(of: "a") == ["a1", "a2"])
    try await worker.stop()
  }
}
