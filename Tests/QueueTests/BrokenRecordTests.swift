import Pipeline
import Queue
import Redis
import Testing

/// What each function says of records that it cannot work with.
@Suite struct BrokenRecordTests {
  private static let start = QueueBench.start

  private func seeded() async throws -> QueueBench {
    let bench = try await QueueBench()
    try await bench.register()
    try await bench.admit(#"{"id":"a","account":"x"}"#)
    return bench
  }

  @discardableResult
  private func beat(_ bench: QueueBench, _ leases: [Lease] = []) async throws -> Queue.Beat {
    try await bench.queue.renew(
      leases, boot: "1", lists: [QueueBench.list], counters: [],
      leaseMilliseconds: QueueBench.lease, now: Self.start)
  }

  private func problem(_ bench: QueueBench, _ key: RedisArgument) async throws -> String? {
    try await bench.fcall("doctor", ["", 1, key, "", .integer(Self.start)])
      .array?.first?.array?[2].text
  }

  @Test(arguments: [["HSET", "stage", "garbage"], ["HDEL", "run"]])
  func aLeaseThatCannotBeFinishedIsNotRenewed(_ words: [String]) async throws {
    let bench = try await seeded()
    let lease = try await bench.claim()[0].lease
    _ = try await bench.queue.client.call(
      [.text(words[0]), "batchd:batch:a"] + words.dropFirst().map { .text($0) })
    #expect(try await beat(bench, [lease]).leases == [.lost])
    #expect(try await bench.field("batch:a", "status") == "failed")
  }

  private func breakRecord(_ bench: QueueBench) async throws {
    _ = try await bench.queue.client.call(["HSET", "batchd:batch:a", "run", "x"])
  }

  @Test func whatCannotBeFinishedFails() async throws {
    let bench = try await seeded()
    let claim = try await bench.claim()[0]
    _ = try await bench.queue.client.call(["HSET", "batchd:batch:a", "status", "garbage"])
    let answers = try await bench.queue.finish(
      [.init(claim: claim, output: nil, goesOn: false)], leaseMilliseconds: QueueBench.lease,
      now: Self.start)
    guard case .lost = answers[0] else {
      Issue.record("a broken record was settled: \(answers[0])")
      return
    }
    #expect(try await bench.field("batch:a", "status") == "failed")
  }

  @Test func itsIdMayBeEnqueuedAgain() async throws {
    let bench = try await seeded()
    try await breakRecord(bench)
    #expect(try await bench.admit(#"{"id":"a"}"#) == [.admitted])
    #expect(try await bench.field("batch:a", "status") == "pending")
    #expect(try await bench.events("broken") == 1)
  }

  /// What it says that makes sense stays.
  @Test func aClaimFailsItWhereItIs() async throws {
    let bench = try await seeded()
    try await breakRecord(bench)
    #expect(try await bench.claim().isEmpty)
    #expect(try await bench.field("batch:a", "status") == "failed")
    #expect(try await bench.field("batch:a", "stage") == "extraction")
    #expect(try await bench.field("batch:a", "stages") == "extraction,validation,persistence")
  }

  @Test func itIsNobodysToCancelOrRetry() async throws {
    let bench = try await seeded()
    try await breakRecord(bench)
    let cancelled = await #expect(throws: RedisError.self) {
      try await bench.fcall("cancel", ["a"])
    }
    #expect(cancelled?.serverCode == "NOTFOUND")
    for words: [RedisArgument] in [["status", "failed"], ["stages", "garbage"]] {
      _ = try await bench.queue.client.call(["HSET", "batchd:batch:a"] + words)
    }
    let retried = await #expect(throws: RedisError.self) { try await bench.fcall("retry", ["a"]) }
    #expect(retried?.serverCode == "BROKEN")
  }

  @Test func itFailsWhenItIsDue() async throws {
    let bench = try await seeded()
    try await bench.admit(#"{"id":"b","delay":5}"#)
    try await bench.tick(now: Self.start)
    _ = try await bench.queue.client.call(["HSET", "batchd:batch:b", "run", "x"])
    try await bench.tick(now: Self.start + 5_000)
    #expect(try await bench.field("batch:b", "status") == "failed")
  }

  /// A blocked fetch touches no function: nobody else would notice.
  @Test(arguments: ["enqueue", "queue:demo:validation", "suspects:demo:validation"])
  func aListThatIsNoneIsSetAsideByThePatrol(_ name: String) async throws {
    let bench = try await seeded()
    _ = try await bench.queue.client.call(["SET", .text("batchd:\(name)"), "x"])
    try await bench.tick(now: Self.start)
    #expect(try await bench.queue.client.call(["EXISTS", .text("batchd:\(name)")]).integer == 0)
    #expect(try await bench.queue.client.call(["GET", .text("batchd:aside:\(name)")]).text == "x")
  }

  @Test func aPipelineOfAnUnknownStageIsRegisteredAgain() async throws {
    let bench = try await seeded()
    _ = try await bench.queue.client.call([
      "HSET", "batchd:pipelines", "demo", "garbage|extraction",
    ])
    try await beat(bench)
    #expect(
      try await bench.field("pipelines", "demo") == "extraction,validation,persistence|extraction")
  }

  @Test func whatNobodyEndedIsNoEndedRun() async throws {
    let bench = try await seeded()
    let time = RedisArgument.text("2096-10-02T07:06:40.000Z")
    for status: RedisArgument in ["garbage", "completed"] {
      _ = try await bench.queue.client.call([
        "XADD", "batchd:ended", "*", "batch", "b", "run", "1", "status", status, "operation", "b",
        "account", "", "pipeline", "demo", "stage", "extraction", "admitted_at", time,
        "finished_at", time,
      ])
    }
    let runs = try await bench.fcall("outbox", [1, "w1", 9, .integer(Self.start)])
    #expect(runs.array?.count == 1)
    #expect(try await bench.queue.client.call(["XLEN", "batchd:ended"]).integer == 1)
    #expect(try await bench.events("broken") == 1)
  }

  @Test func doctorTellsWhatLivesFromWhatEnded() async throws {
    let bench = try await seeded()
    #expect(try await problem(bench, "batchd:batch:a") == nil)
    _ = try await bench.queue.client.call(["SET", "batchd:whatever", "x"])
    #expect(try await problem(bench, "batchd:whatever") == nil, "nobody knows what it should be")
    _ = try await bench.queue.client.call(["HSET", "batchd:lanes", "demo:x", "nobody"])
    #expect(
      try await problem(bench, "batchd:batch:a") == "is under way without its lane demo:x")
    _ = try await bench.fcall("cancel", ["a", .integer(Self.start)])
    #expect(try await problem(bench, "batchd:batch:a") == nil)
    _ = try await bench.queue.client.call(["DEL", "batchd:ended"])
    #expect(
      try await problem(bench, "batchd:batch:a")
        == "ended, but its history was never written and it is kept for ever")
  }

  @Test func doctorNamesTheRecordBeforeItsOperation() async throws {
    let bench = try await seeded()
    _ = try await bench.queue.client.call(["ZREM", "batchd:operations", "a"])
    #expect(
      try await problem(bench, "batchd:batch:a")
        == "its operation a is not in batchd:operations: tick never looks at it")
    try await breakRecord(bench)
    #expect(
      try await problem(bench, "batchd:batch:a") == #"broken record: run is "x", not a number"#)
  }
}
