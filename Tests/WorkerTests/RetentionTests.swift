import Pipeline
import TestSupport
import Testing
import Worker

/// What has ended leaves Redis; what lives does not.
@Suite struct RetentionTests {
  @Test func whatHasEndedExpiresAndOnlyBoundedStructuresStay() async throws {
    let harness = try await WorkerHarness()
    let worker = try harness.worker("w1", [Self.pipeline]) {
      $0.limits.retentionSeconds = 1
      $0.limits.failedRetentionSeconds = 1
    }
    try await harness.enqueue(
      #"{"id":"b1","operation":"o","account":"acme","items":["A","B"]}"#,
      #"{"id":"b2","operation":"o","account":"acme","items":["B"]}"#,
      #"{"id":"b3","payload":"fail"}"#, #"{"id":"b4","delay":600}"#)
    await harness.waitFor("pending", of: "batch:b4")
    #expect(try await harness.fcall("cancel", "b4") == "cancelled")
    // Their keys may be gone before anybody looks: the events tell how they ended.
    await eventually("all have ended") { try await harness.events("ended").count == 4 }
    let ends = try await harness.events("ended").map { "\($0["batch"]!) \($0["status"]!)" }
    #expect(
      ends.sorted() == ["b1 completed_with_errors", "b2 completed", "b3 failed", "b4 cancelled"])
    await eventually("only what is bounded by itself stays") {
      let keys = try await harness.redis.cli("KEYS", "*").split(separator: "\n").map(String.init)
      return Set(keys).isSubset(
        of: Set(
          [
            "events", "stats", "meta", "store", "pipelines", "workers", "worker:w1", "operations",
            "failed", "ended", "claimed:w1:demo:extraction", "claimed:w1:demo:extraction:3",
            "claimed:w1:demo:persistence",
          ].map { "batchd:\($0)" }))
    }
    #expect(try await harness.redis.cli("XLEN", "batchd:ended") == "0")
    // The lists of names follow with tick.
    let epoch = try await harness.field("meta", "epoch")
    let seconds = try await harness.redis.cli("TIME").split(separator: "\n")[0]
    let later = "\(Int(seconds)! + 120)000"
    _ = try await harness.fcall("tick", epoch, "", "", "3", later)
    #expect(try await harness.redis.cli("EXISTS", "batchd:operations", "batchd:failed") == "0")
    try await worker.stop()
  }

  @Test func keysExpireAfterTheirOwnEndAndAReturnToLifeKeepsThem() async throws {
    let harness = try await WorkerHarness()
    let worker = try harness.worker("w1", [Self.pipeline])
    try await harness.enqueue(
      #"{"id":"b1","operation":"o","account":"acme","items":["A","B"]}"#,
      #"{"id":"b2","operation":"o","account":"acme","delay":600}"#, #"{"id":"b3","payload":"fail"}"#
    )
    await harness.waitFor("completed_with_errors", of: "batch:b1")
    await harness.waitFor("failed", of: "batch:b3")
    func seconds(_ key: String) async throws -> Int {
      try #require(Int(try await harness.redis.cli("TTL", "batchd:\(key)")))
    }
    await eventually("both are archived") {
      let first = try await seconds("batch:b1")
      let third = try await seconds("batch:b3")
      return first > 0 && third > 0
    }
    for key in [
      "batch:b1", "input:b1", "errors:b1", "items:b1:extraction", "items:b1:persistence",
    ] {
      #expect((86_390...86_400).contains(try await seconds(key)), "\(key)")
    }
    for key in ["batch:b3", "input:b3", "progress:b3"] {
      #expect((2_591_990...2_592_001).contains(try await seconds(key)), "\(key)")
    }
    let live = ["batch:b2", "input:b2", "progress:o", "progress:o:acme", "members:o", "accounts:o"]
    for key in live { #expect(try await seconds(key) == -1, "\(key)") }
    // The operation's keys last as long as the last of its batches.
    #expect(try await harness.fcall("cancel", "b2") == "cancelled")
    await eventually("the operation is archived") { try await seconds("progress:o") > 0 }
    for key in ["progress:o:acme", "members:o", "accounts:o"] {
      let kept = try await seconds(key)
      let batch = try await seconds("batch:b2")
      #expect(kept >= batch, "\(key)")
    }
    #expect(try await harness.fcall("pause", "all") == "paused")
    #expect(try await harness.fcall("retry", "b1") == "retrying run 2 from extraction")
    for key in ["batch:b1", "input:b1", "items:b1:extraction", "progress:o", "progress:o:acme"] {
      #expect(try await seconds(key) == -1, "\(key)")
    }
    try await worker.stop()
  }

  private static let pipeline = PipelineDefinition(
    name: "demo",
    stages: [
      .init(
        stage: .extraction,
        handler: Handler { job, context in
          if job.payload?.string == "fail" { throw StageError.permanent("no") }
          for item in job.items {
            try await context.checkpoint([
              item.id: item.id == "B" && job.batch == "b1" ? .failed("gone") : .done(.null)
            ])
          }
          return .string("output")
        }),
      .init(
        stage: .persistence,
        handler: Handler { job, context in
          for item in job.items { try await context.checkpoint([item.id: .done(.null)]) }
          return nil
        }),
    ], counts: .extraction)
}
