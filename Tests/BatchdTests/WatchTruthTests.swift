import Pipeline
import TestSupport
import Testing
import Worker

/// What `watch --json` says against what Redis holds, and that nothing is lost on the way.
@Suite struct WatchTruthTests {
  private static let states = [
    "pending", "processing", "retrying", "completed", "completed_with_errors", "failed",
    "cancelled",
  ]
  private static let stageStates = [
    "passed", "running", "retrying", "waiting", "failed", "cancelled", "to_come", "unseen",
  ]

  private static func number(_ object: JSON?, _ field: String) -> Int {
    if case .integer(let value)? = object?[field] { Int(value) } else { 0 }
  }

  private static func hash(_ redis: TestRedis, _ key: String) async throws -> [String: String] {
    let lines = try await redis.cli("HGETALL", key).split(
      separator: "\n", omittingEmptySubsequences: false
    ).map(String.init)
    return stride(from: 0, to: lines.count - 1, by: 2).reduce(into: [:]) {
      $0[lines[$1]] = lines[$1 + 1]
    }
  }

  /// Of each line's counts: the states sum to the total.
  private static func checkSums(_ line: JSON) {
    #expect(states.reduce(0) { $0 + number(line, $1) } == number(line, "total"))
    for account in line["accounts"]?.array ?? [] {
      let sum = (states + ["unseen"]).reduce(0) { $0 + number(account, $1) }
      #expect(sum == number(account, "total"), "\(account)")
    }
    for stage in line["stages"]?.array ?? [] {
      #expect(
        stageStates.reduce(0) { $0 + number(stage, $1) } == number(stage, "total"), "\(stage)")
    }
  }

  @Test func whatIsSaidIsWhatRedisHolds() async throws {
    let harness = try await CommandHarness()
    let isOpen = Latch()
    let handler = Handler { job, context in
      guard job.stage == .extraction else { return nil }
      switch job.batch {
      case "bad": throw StageError.permanent("403")
      case "again" where !isOpen.isSet:
        throw StageError.retry("502", afterMilliseconds: 600_000)
      case "later" where !isOpen.isSet:
        throw StageError.snooze("no token", milliseconds: 600_000)
      case "slow":
        try await context.checkpoint(["A": .done(.null), "B": .failed("gone")])
        try await isOpen.wait()
      default: break
      }
      return nil
    }
    let batches = [
      ("bad", "acme"), ("good", "acme"), ("slow", "acme"), ("next", "acme"), ("again", "bolt"),
      ("later", "cedar"), ("alone", nil), ("behind", "delta"),
    ]
    try await harness.withWorker(handler: handler) {
      // Another operation has the lane of one account.
      _ = try await harness.run("pause", "account:delta")
      for id in ["other1", "other2"] {
        _ = try await harness.run(
          "enqueue", "--id", id, "--operation", "other", "--account", "delta", "--delay", "0", "A",
          "B")
      }
      for (id, account) in batches {
        let options = account.map { ["--account", $0] } ?? []
        _ = try await harness.start(
          ["enqueue", "--id", id, "--operation", "nightly"] + options + ["A", "B", "C"]
        ).outcome()
        await eventually("\(id) is there") {
          try await harness.redis.cli("EXISTS", "batchd:batch:\(id)") == "1"
        }
      }
      _ = try await harness.redis.cli(
        "FCALL", "batchd_gate_close", "1", "batchd",
        try await harness.redis.cli("HGET", "batchd:meta", "epoch"), "workiz:acme", "90000", "429")
      await eventually("all stands still") {
        let progress = try await Self.hash(harness.redis, "batchd:progress:nightly")
        return progress["items_done"] == "7" && progress["retrying"] == "1"
          && progress["failed"] == "1" && progress["completed"] == "2"
          && progress["processing"] == "2"
      }
      let watch = try harness.start(["watch", "nightly", "--json"])
      await eventually("a line") { try watch.output.contains("\n") }
      let first = try #require(
        try watch.output.split(separator: "\n").map { try JSON(parsing: $0.utf8) }
          .first { $0["type"] == .string("progress") })
      try await Self.compare(first, batches, harness.redis)
      isOpen.set()
      _ = try await harness.run("cancel", "again")
      _ = try await harness.run("cancel", "later")
      _ = try await harness.run("resume", "account:delta")
      let lines = try await watch.outcome().lines.map { try JSON(parsing: $0.utf8) }
      let progress = lines.filter { $0["type"] == .string("progress") }
      for line in progress { Self.checkSums(line) }
      #expect(progress.last?["status"] == .string("completed_with_errors"))
      try await Self.compare(try #require(progress.last), batches, harness.redis)
    }
  }

  /// Compares a progress line with the records of Redis, while nothing moves.
  private static func compare(
    _ line: JSON, _ batches: [(String, String?)], _ redis: TestRedis
  ) async throws {
    let truth = try await hash(redis, "batchd:progress:nightly")
    for field in states + ["total", "items_total", "items_done", "items_failed", "percent"] {
      #expect("\(number(line, field))" == truth[field] ?? "0", "\(field)")
    }
    var accounts: [String: [String: Int]] = [:]
    var stages: [String: [String: Int]] = [:]
    for (id, account) in batches {
      let record = try await hash(redis, "batchd:batch:\(id)")
      let status = record["status"] ?? ""
      let isLeased = record["place"] == "batchd:leases"
      if let account {
        accounts[account, default: [:]][status, default: 0] += 1
        for field in ["items_total", "items_done", "items_failed"] {
          accounts[account]![field, default: 0] += Int(record[field] ?? "") ?? 0
        }
      }
      let here =
        switch status {
        case "completed", "completed_with_errors": "passed"
        case "failed", "cancelled", "retrying": status
        default: isLeased ? "running" : "waiting"
        }
      let isSetup = record["stage"] == "setup"
      stages["setup", default: [:]][isSetup ? here : "passed", default: 0] += 1
      stages["extraction", default: [:]][isSetup ? "to_come" : here, default: 0] += 1
    }
    #expect(line["accounts"]?.array?.count == accounts.count)
    for entry in line["accounts"]?.array ?? [] {
      guard case .string(let name)? = entry["account"] else { continue }
      for field in states + ["items_total", "items_done", "items_failed"] {
        #expect(number(entry, field) == accounts[name]?[field] ?? 0, "\(name) \(field)")
      }
    }
    for entry in line["stages"]?.array ?? [] {
      guard case .string(let name)? = entry["stage"] else { continue }
      for field in stageStates {
        #expect(number(entry, field) == stages[name]?[field] ?? 0, "\(name) \(field)")
      }
    }
    try await compareWaits(line, redis)
  }

  /// Who waits for what.
  private static func compareWaits(_ line: JSON, _ redis: TestRedis) async throws {
    for entry in line["accounts"]?.array ?? []
    where number(entry, "pending") > 0 || entry["batch"] != nil {
      guard case .string(let batch)? = entry["batch"] else { continue }
      let due = try await redis.cli("ZSCORE", "batchd:delayed", batch)
      #expect("\(number(entry, "due_at"))" == (due.isEmpty ? "0" : due), "\(batch)")
      switch batch {
      case "slow": #expect(entry["is_running"] == .bool(true) && number(entry, "number") == 3)
      case "again": #expect(entry["error"] == .string("502"))
      case "later": #expect(entry["error"] == .string("no token"))
      case "behind":
        #expect(entry["lane_holder"] == .string("other1"))
        #expect(entry["lane_operation"] == .string("other"))
        #expect(number(entry, "batches_ahead") == 2 && number(entry, "items_ahead") == 4)
      default: Issue.record("\(batch) should not be the next")
      }
    }
  }

  @Test func ofManyErrorsNoneIsLost() async throws {
    let harness = try await CommandHarness()
    let isOpen = Latch()
    try await harness.withWorker(
      handler: Handler { job, _ in
        try await isOpen.wait()
        throw StageError.permanent("403 of request \(job.batch.count)")
      }
    ) {
      let envelopes = (0..<300).map { #"{"id":"n\#($0)","operation":"flood","size":300}"# }
      let sent = try await harness.start(
        ["enqueue", "--raw"], input: envelopes.joined(separator: "\n")
      ).outcome()
      #expect(sent.status == 0)
      await eventually("all are there") {
        try await harness.redis.cli("HGET", "batchd:progress:flood", "total") == "300"
      }
      let watches = try [["watch", "flood"], ["watch", "flood", "--json"]].map {
        try harness.start($0)
      }
      await eventually("both watch") { try watches.allSatisfy { try $0.output.contains("flood") } }
      isOpen.set()
      let plain = try await watches[0].outcome().lines
      let shown = plain.count { $0.contains(": failed: 403 of request") }
      let folded = plain.compactMap { line in
        line.firstMatch(of: /… (\d+) more like this/).flatMap { Int($0.1) }
      }
      #expect(shown < 20 && shown + folded.reduce(0, +) == 300, "\(plain)")
      let ends = try await watches[1].outcome().lines.count {
        $0.contains(#""event":"ended""#) && $0.contains(#""error":"403 of request"#)
      }
      #expect(ends == 300)
    }
  }

  @Test func ofTooManyBatchesTheProgressKeysTell() async throws {
    let harness = try await CommandHarness()
    let isOpen = Latch()
    try await harness.withWorker(handler: .held(by: isOpen)) {
      for id in ["b1", "b2", "b3"] {
        let account = id == "b3" ? "bolt" : "acme"
        _ = try await harness.run(
          "enqueue", "--id", id, "--operation", "nightly", "--account", account, "A")
      }
      await eventually("two run") { try await harness.redis.cli("ZCARD", "batchd:leases") == "2" }
      _ = try await harness.redis.shell("rcli RPUSH batchd:members:nightly $(seq 5000) >/dev/null")
      let watch = try harness.start(["watch", "nightly", "--json"])
      await eventually("a line") { try watch.output.contains("\n") }
      let line = try JSON(
        parsing: Array(try #require(try watch.output.split(separator: "\n").first).utf8))
      #expect(line["is_whole"] == .bool(false) && line["stages"] == .array([]))
      Self.checkSums(line)
      let accounts = line["accounts"]?.array ?? []
      #expect(accounts.map { $0["account"] } == [.string("acme"), .string("bolt")])
      #expect(accounts.map { Self.number($0, "pending") } == [1, 0])
      #expect(accounts.map { Self.number($0, "processing") } == [1, 1])
      isOpen.set()
      #expect(try await watch.outcome().status == 0)
    }
  }

  @Test func skippedEventsAreSaid() async throws {
    let harness = try await CommandHarness()
    let isOpen = Latch()
    try await harness.withWorker(handler: .held(by: isOpen)) {
      _ = try await harness.run("enqueue", "--id", "b1", "A")
      await eventually("b1 runs") { try await harness.redis.cli("ZCARD", "batchd:leases") == "1" }
      let watches = try [["watch", "b1"], ["watch", "b1", "--json"]].map { try harness.start($0) }
      await eventually("both watch") { try watches.allSatisfy { try $0.output.contains("b1") } }
      // More came at once than the stream keeps.
      _ = try await harness.redis.cli("XADD", "batchd:events", "*", "event", "x")
      _ = try await harness.redis.cli("XTRIM", "batchd:events", "MAXLEN", "0")
      await eventually("it is said") {
        try watches[0].output.contains("events were skipped: more came at once")
          && watches[1].output.contains(#"{"type":"skipped"}"#)
      }
      isOpen.set()
      for watch in watches { #expect(try await watch.outcome().status == 0) }
    }
  }
}
