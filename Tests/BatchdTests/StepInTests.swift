import Pipeline
import Synchronization
import TestSupport
import Testing
import Worker

/// `retry` and `cancel` of many batches, on a real Redis beside a real worker.
@Suite struct StepInTests {
  /// Twelve failed batches: half of account acme, of operations o0, o1 and o2, each third with another error.
  private static func withFailed(
    handler: Handler, _ body: (CommandHarness) async throws -> Void
  ) async throws {
    let harness = try await CommandHarness()
    try await harness.withWorker(handler: handler) {
      let envelopes = (0..<12).map {
        #"{"id":"b\#($0)","operation":"o\#($0 % 3)","account":"\#($0 < 6 ? "acme" : "globex")"}"#
      }
      _ = try await harness.run("enqueue", "--raw", input: envelopes.joined(separator: "\n"))
      await eventually("all have failed") {
        try await harness.redis.cli("ZCARD", "batchd:failed") == "12"
      }
      try await body(harness)
    }
  }

  private static func runs(_ harness: CommandHarness) async throws -> [String] {
    try await harness.redis.shell(
      "for n in 0 1 2 3 4 5 6 7 8 9 10 11; do rcli HGET batchd:batch:b$n run; done"
    ).split(separator: "\n").map(String.init)
  }

  private static let failing = Handler { job, _ in
    throw StageError.permanent(["b0", "b9"].contains(job.batch) ? "403 Forbidden" : "bad answer")
  }

  @Test func aFilterCountsFirst() async throws {
    try await Self.withFailed(handler: Self.failing) { harness in
      let counted = try await harness.run("retry", "account:acme", "--json")
      #expect(counted.status == 0)
      let report = try JSON(parsing: counted.output.utf8)
      #expect(report["is_dry_run"] == .bool(true))
      #expect(report["matched"] == .integer(6))
      #expect(report["statuses"] == .object(["failed": .integer(6)]))
      #expect(report["accounts"] == .object(["acme": .integer(6)]))
      #expect(report["stages"] == .object(["setup": .integer(6)]))
      #expect(report["done"] == .object([:]))
      let errors = report["errors"]?.object ?? [:]
      #expect(errors.values.reduce(0) { $0 + $1.count } == 6 && errors.count == 2)

      let shown = try await harness.run("retry", "operation:o1", "--status", "failed")
      #expect(shown.lines.first == "4 batches to retry")
      #expect(shown.lines.last == "nothing was done; the same with --yes does it")
      let exact = try await harness.run("retry", "operation:o1", "--dry-run")
      #expect(exact.lines.first == "4 batches to retry" && exact.lines.last == "nothing was done")
      let named = try await harness.run("retry", "b1", "b2", "b77", "--dry-run")
      #expect(named.lines.first == "2 batches to retry" && named.complaint.contains("\"b77\""))
      #expect(try await Self.runs(harness) == [String](repeating: "1", count: 12))

      for (arguments, status) in [
        (["--account", "nobody"], Int32(65)), (["operation:o9"], 65), (["--error", "teapot"], 65),
        (["--error", "forBIDDEN"], 0), (["--since", "2026-01-01", "--stage", "setup"], 0),
        (["--before", "2026-01-01"], 65), (["--stage", "extraction"], 65), ([], 64),
        (["b1", "--stage", "setup"], 64), (["b1", "--account", "acme"], 64), (["who:b1"], 64),
        (["--status", "pending"], 64), (["account:a", "account:b"], 64),
        (["b1", "--dry-run", "--yes"], 64), (["--operation", "a b"], 64),
      ] {
        let outcome = try await harness.start(["retry"] + arguments).outcome()
        #expect(outcome.status == status, "\(arguments): \(outcome.complaint)\(outcome.output)")
      }
      #expect(try await Self.runs(harness) == [String](repeating: "1", count: 12))
    }
  }

  @Test func eachIsRetriedOnceAlthoughItFailsAgainAtOnce() async throws {
    try await Self.withFailed(handler: Self.failing) { harness in
      let all = try await harness.run("retry", "--status", "failed", "--yes")
      #expect(all.status == 0 && all.output == "retrying 12 of 12 batches\n")
      await eventually("all have failed again") {
        try await harness.redis.cli("ZCARD", "batchd:failed") == "12"
      }
      #expect(try await Self.runs(harness) == [String](repeating: "2", count: 12))
      let some = try await harness.run("retry", "b1", "b2", "b1", "--json")
      let report = try JSON(parsing: some.output.utf8)
      #expect(report["refused"] == .object([:]))
      let answers = report["answers"]?.array
      #expect(answers?.compactMap { $0["batch"]?.string } == ["b1", "b2"])
      let mixed = try await harness.run("retry", "nosuch", "b3", "--from", "setup")
      #expect(mixed.status == 1 && mixed.output == "b3: retrying run 3 from setup\n")
      #expect(mixed.complaint.hasPrefix("batchd: batch \"nosuch\" is not known: "))
    }
  }

  /// Two people and a worker that goes on: every batch runs again exactly once, in the order of its admission.
  @Test func twoAtOnceBesideAWorkerRetryEachOnce() async throws {
    let order = Mutex<[String]>([])
    let handler = Handler { job, _ in
      if job.run == 1 { throw StageError.permanent("first") }
      if job.stage == .setup { order.withLock { $0.append(job.batch) } }
      return nil
    }
    try await Self.withFailed(handler: handler) { harness in
      let both = try (0..<2).map { _ in
        try harness.start(["retry", "--pipeline", "demo", "--yes", "--json"])
      }
      var done = 0
      for command in both {
        let outcome = try await command.outcome()
        // The slower one may find nothing, or be told of what is under way or done.
        #expect([0, 1, 65].contains(outcome.status), "\(outcome.complaint)")
        let report = try JSON(parsing: outcome.output.utf8)
        done += report["done"]?["retrying"]?.count ?? 0
      }
      #expect(done == 12)
      await eventually("all have completed") {
        try await harness.redis.cli("HGET", "batchd:stats", "completed") == "12"
      }
      #expect(try await Self.runs(harness) == [String](repeating: "2", count: 12))
      let acme = order.withLock { $0 }.filter { Int($0.dropFirst()) ?? 0 < 6 }
      #expect(acme == (0..<6).map { "b\($0)" })
    }
  }

  @Test func cancelTakesThoseThatFit() async throws {
    let harness = try await CommandHarness()
    let isOpen = Latch()
    try await harness.withWorker(handler: .held(by: isOpen)) {
      let envelopes = (0..<9).map {
        #"{"id":"b\#($0)","operation":"o","account":"\#($0 < 6 ? "acme" : "globex")"}"#
      }
      _ = try await harness.run("enqueue", "--raw", input: envelopes.joined(separator: "\n"))
      await eventually("one of each account runs") {
        try await harness.redis.cli("ZCARD", "batchd:leases") == "2"
      }
      let counted = try await harness.run("cancel", "--account", "acme", "--dry-run", "--json")
      #expect(
        try JSON(parsing: counted.output.utf8)["statuses"]
          == .object(["pending": .integer(5), "processing": .integer(1)]))
      let waiting = try await harness.run(
        "cancel", "account:acme", "--status", "pending", "--yes")
      #expect(waiting.output == "cancelled 5 of 5 batches\n" && waiting.status == 0)
      let again = try await harness.run("cancel", "account:acme", "--status", "pending", "--yes")
      #expect(again.status == 65 && again.complaint.hasPrefix("batchd: no batch fits"))
      let ended = try await harness.run("cancel", "b1", "b6")
      #expect(ended.status == 1 && ended.output == "b6: cancelling\n")
      #expect(ended.complaint.hasPrefix("batchd: batch \"b1\" has ended: cancelled; "))
      let rest = try await harness.run("cancel", "operation:o", "--json")
      // b0, b7 and b8 live, and perhaps b6 until its worker has heard.
      let matched = try JSON(parsing: rest.output.utf8)["matched"]?.count
      #expect([3, 4].contains(matched), "\(rest.output)")
      isOpen.set()
      await eventually("all are cancelled") {
        try await harness.redis.cli("HGET", "batchd:progress:o", "cancelled") == "9"
      }
      let retried = try await harness.run("retry", "operation:o")
      #expect(retried.output == "retrying 9 of 9 batches\n")
      await eventually("all complete") {
        try await harness.redis.cli("HGET", "batchd:progress:o", "completed") == "9"
      }
    }
  }

  /// A Redis with so many failed batches, f1, f2, …; no worker.
  private static func failed(_ count: Int) async throws -> CommandHarness {
    let harness = try await CommandHarness()
    try await harness.withWorker(handler: .init { _, _ in nil }) {
      _ = try await harness.run("enqueue", "--id", "b0", "--operation", "o", "--wait")
    }
    // Records as a worker leaves them, made of the one that it left.
    _ = try await harness.redis.cli(
      "EVAL",
      """
      local fields = redis.call('HGETALL', 'batchd:batch:b0')
      for at = 1, \(count) do
        redis.call('HSET', 'batchd:batch:f' .. at, unpack(fields))
        redis.call('HSET', 'batchd:batch:f' .. at, 'status', 'failed', 'error', 'x')
        redis.call('ZADD', 'batchd:failed', at, 'f' .. at)
      end
      redis.call('HINCRBY', 'batchd:progress:o', 'total', \(count))
      redis.call('HINCRBY', 'batchd:progress:o', 'failed', \(count))
      """, "0")
    return harness
  }

  private static func left(_ harness: CommandHarness) async throws -> Int {
    Int(try await harness.redis.cli("ZCARD", "batchd:failed")) ?? 0
  }

  @Test func whatChangedMeanwhileIsToldOfAndNotTouched() async throws {
    let harness = try await Self.failed(10_000)
    let command = try harness.start(["retry", "--status", "failed", "--yes", "--json"])
    await eventually("it has begun") { try await Self.left(harness) < 10_000 }
    // The last in its order.
    _ = try await harness.redis.cli("HSET", "batchd:batch:f9999", "status", "cancelled")
    let outcome = try await command.outcome()
    let report = try JSON(parsing: outcome.output.utf8)
    #expect(outcome.status == 1)
    #expect(report["matched"] == .integer(10_000))
    #expect(report["done"] == .object(["retrying": .integer(9_999)]))
    #expect(report["refused"] == .object(["CHANGED": .integer(1)]))
    #expect(outcome.complaint == "batchd: batch \"f9999\" changed meanwhile and fits no more\n")
    #expect(try await harness.redis.cli("HGET", "batchd:batch:f9999", "run") == "1")
  }

  @Test func aLostRedisIsAnErrorThatSaysHowFarItCame() async throws {
    let harness = try await Self.failed(10_000)
    let command = try harness.start(["retry", "--status", "failed", "--yes"])
    await eventually("it has begun") { try await Self.left(harness) < 9_500 }
    harness.redis.kill()
    let outcome = try await command.outcome()
    #expect(outcome.status == 69)
    #expect(
      outcome.output.hasPrefix("retrying ") && outcome.output.hasSuffix(" of 10,000 batches\n"))
    #expect(outcome.complaint.contains("100 more nobody knows"), "\(outcome.complaint)")
  }

  @Test func ctrlCSaysHowFarItCame() async throws {
    let count = 10_000
    let harness = try await Self.failed(count)
    let command = try harness.start(["retry", "--status", "failed", "--yes"])
    await eventually("it has begun") { try await Self.left(harness) < count }
    command.interrupt()
    let outcome = try await command.outcome()
    let done = count - (try await Self.left(harness))
    #expect(outcome.status == 130)
    #expect(done < count)
    let words = "interrupted: retrying \(Self.grouped(done)) of 10,000 batches"
    #expect(outcome.complaint.contains(words), "\(outcome.complaint), not \(words)")
  }

  private static func grouped(_ value: Int) -> String {
    value < 1_000
      ? "\(value)" : "\(value / 1_000)," + String("\(1_000 + value % 1_000)".dropFirst())
  }
}

extension JSON {
  fileprivate var count: Int { if case .integer(let value) = self { Int(value) } else { 0 } }
}
