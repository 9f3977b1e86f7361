import Pipeline
import Stores
import TestSupport
import Testing
import Worker

/// Every key that DESIGN.md section 4 shows, with the type and the fields it names, as redis-cli sees them.
@Suite struct WatchTests {
  /// One queue with something in every place.
  private func busyHarness() async throws -> (WorkerHarness, RunningWorker) {
    let harness = try await WorkerHarness()
    let extraction = Handler { job, context in
      switch job.payload?.string {
      case "hold": try await Task.sleep(for: .seconds(600))
      case "retry": throw StageError.retry("not yet", afterMilliseconds: 600_000)
      case "fail":
        try await context.take(gate: "service", intervalMilliseconds: 20)
        try await context.checkpoint(["A": .done(.null), "B": .failed("B is gone")])
        throw StageError.permanent("no more")
      default: try await context.close(gate: "shut", forMilliseconds: 600_000, reason: "429")
      }
      return nil
    }
    let worker = try harness.worker(
      "w1",
      [
        PipelineDefinition(
          name: "demo",
          stages: [
            .init(stage: .extraction, handler: extraction),
            .init(stage: .persistence, handler: Handler { _, _ in nil }),
          ], counts: .extraction)
      ])
    await harness.waitForWorker("w1")
    try await harness.enqueue(
      #"{"id":"done","operation":"over","account":"acme","items":["A"]}"#)
    await harness.waitFor("completed", of: "progress:over")
    _ = try await harness.fcall("pause", "stage:demo:persistence")
    try await harness.enqueue(
      #"{"id":"held","operation":"op","account":"acme","items":["A"],"payload":"hold"}"#,
      #"{"id":"lane","operation":"op","account":"acme"}"#,
      #"{"id":"failed","operation":"op","account":"other","items":["A","B"],"payload":"fail"}"#,
      #"{"id":"backoff","operation":"op","payload":"retry"}"#,
      #"{"id":"queued","operation":"op"}"#, #"{"id":"bad","items":7}"#)
    await harness.waitFor("failed", of: "batch:failed")
    await harness.waitFor("retrying", of: "batch:backoff")
    await harness.waitFor("rejected", of: "batch:bad")
    await eventually("one waits in its list") {
      try await harness.redis.cli("LRANGE", "batchd:queue:demo:persistence", "0", "-1") == "queued"
    }
    await harness.waitFor("processing", of: "batch:held")
    // The counters of a worker come with its beat.
    await eventually("a beat") { try await harness.field("worker:w1", "running") == "1" }
    return (harness, worker)
  }

  private static let types = [
    "progress:op": "hash", "progress:op:acme": "hash", "batch:held": "hash",
    "errors:failed": "hash", "queue:demo:persistence": "list", "delayed": "zset",
    "leases": "zset", "failed": "zset", "lanes": "hash", "lane:demo:acme": "list",
    "gate:service": "hash", "rejected": "list", "paused": "set", "operations": "zset",
    "workers": "zset", "worker:w1": "hash", "pipelines": "hash", "store": "hash", "meta": "hash",
    "stats": "hash", "events": "stream",
  ]

  private static let counts = [
    "total", "pending", "processing", "retrying", "completed", "completed_with_errors", "failed",
    "cancelled", "items_total", "items_done", "items_failed", "percent",
  ]

  private static let fields = [
    "progress:over": counts + ["status", "started_at", "updated_at", "finished_at"],
    "progress:op": counts + ["status", "started_at", "updated_at"],
    "progress:over:acme": [
      "current_batch", "total_batches", "last_batch_completed", "next_batch_to_process", "status",
      "started_at", "finished_at",
    ],
    "batch:held": [
      "status", "place", "stage", "attempt", "retry_count", "run", "worker", "fence",
      "items_total", "items_done", "items_failed", "admitted_at", "started_at", "updated_at",
    ],
    "batch:failed": ["error", "finished_at"],
    "gate:service": ["next_at", "interval", "reason"],
    "worker:w1": [
      "host", "pid", "boot", "version", "pipelines", "slots", "running", "started_at", "beat_at",
      "finished", "failed", "retried", "snoozed", "handed_back", "lost",
    ],
    "store": ["identity"], "meta": ["epoch", "fence", "run_id", "revision"],
    "stats": ["admitted", "completed", "failed", "retries", "rejected"],
  ]

  @Test func everyKeyHasItsTypeAndItsFields() async throws {
    let (harness, worker) = try await busyHarness()
    for (key, type) in Self.types {
      #expect(try await harness.redis.cli("TYPE", "batchd:\(key)") == type, "\(key)")
    }
    let moment = /\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z/
    for (key, fields) in Self.fields {
      let hash = try await harness.hash(key)
      for field in fields {
        let value = try #require(hash[field], "\(key) \(field)")
        if field.hasSuffix("_at") {
          #expect(value.wholeMatch(of: moment) != nil, "\(key) \(field)")
        }
      }
    }
    for key in ["progress:op", "batch:held", "lane:demo:acme", "leases", "events", "worker:w1"] {
      #expect(try await harness.redis.cli("PTTL", "batchd:\(key)") == "-1", "\(key)")
    }
    try await worker.stop()
  }

  @Test func theyHoldWhatTheTableSays() async throws {
    let (harness, worker) = try await busyHarness()
    let progress = try await harness.hash("progress:op")
    let shown = Self.counts.map { progress[$0] }
    #expect(shown == ["5", "1", "2", "1", "0", "0", "1", "0", "3", "1", "1", "66"])
    #expect(progress["status"] == "processing")
    let over = try await harness.hash("progress:over")
    #expect(over["percent"] == "100")
    let account = try await harness.hash("progress:op:acme")
    #expect(account["current_batch"] == "1")
    #expect(account["total_batches"] == "2")
    #expect(account["next_batch_to_process"] == "2")
    #expect(account["status"] == "processing")
    #expect(try await harness.hash("errors:failed") == ["B": "B is gone"])
    let failed = try await harness.hash("batch:failed")
    #expect(failed["error"] == "no more")
    #expect(failed["items_done"] == "1")
    #expect(try await harness.hash("lanes") == ["demo:acme": "held"])
    #expect(try await harness.redis.cli("LRANGE", "batchd:lane:demo:acme", "0", "-1") == "lane")
    #expect(try await harness.hash("pipelines") == ["demo": "extraction,persistence|extraction"])
    #expect(try await harness.field("gate:shut", "reason") == "429")
    #expect(try await harness.field("gate:service", "interval") == "20")
    for key in ["delayed", "leases", "failed", "operations", "workers"] {
      let lines = try await harness.redis.cli(
        "ZRANGE", "batchd:\(key)", "0", "-1", "WITHSCORES"
      ).split(separator: "\n")
      #expect(lines.last?.wholeMatch(of: /\d{13}/) != nil, "\(key)")
    }
    #expect(try await harness.redis.cli("ZRANGE", "batchd:delayed", "0", "-1") == "backoff")
    #expect(try await harness.redis.cli("ZRANGE", "batchd:leases", "0", "-1") == "held")
    #expect(try await harness.redis.cli("ZRANGE", "batchd:workers", "0", "-1") == "w1")
    #expect(try await harness.field("store", "identity") == harness.store.identity())
    for name in [
      "admitted", "claimed", "stage_finished", "retrying", "ended", "rejected", "paused",
    ] {
      #expect(try await !harness.events(name).isEmpty, "\(name)")
    }
    try await worker.stop()
  }

  @Test func rejectedEntriesAreTriedAgainOrDropped() async throws {
    let harness = try await WorkerHarness()
    let first = try harness.worker("w1", [.demo { _, _ in nil }])
    try await harness.enqueue(#"{"id":"b1","pipeline":"other"}"#, "garbage", #"{"id":"b2","x":1}"#)
    await eventually("all are rejected") {
      try await harness.redis.cli("LLEN", "batchd:rejected") == "3"
    }
    #expect(try await harness.fcall("drop", "1") == "1")
    #expect(try await harness.redis.cli("LINDEX", "batchd:rejected", "0").hasSuffix(#""x":1}"#))
    #expect(try await harness.fcall("drop", "0") == "1")
    try await first.stop()
    // Now the pipeline is known.
    let second = try harness.worker(
      "w1",
      [
        PipelineDefinition(
          name: "other", stages: [.init(stage: .setup, handler: Handler { _, _ in nil })])
      ])
    await harness.waitForWorker("w1")
    #expect(try await harness.fcall("reenter", "all") == "1")
    await harness.waitFor("completed", of: "batch:b1")
    #expect(try await harness.redis.cli("PTTL", "batchd:progress:b1") != "-2")
    #expect(try await harness.redis.cli("EXISTS", "batchd:rejected") == "0")
    #expect(try await harness.field("meta", "rejected_held") == "0")
    try await second.stop()
  }
}
