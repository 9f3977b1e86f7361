import Foundation
import Pipeline
import TestSupport
import Testing

@testable import batchd

/// Commands with a configuration of several prefixes: `acme` and `bolt` are at home under the first of two, `cobra` and
/// `delta` under the second.
@Suite struct PrefixesTests {
  private static func with(
    _ body: (CommandHarness, _ file: String) async throws -> Void
  ) async throws {
    let harness = try await CommandHarness()
    let file = "\(harness.redis.folder)/config.toml"
    try """
    prefixes = ["one", "two"]
    accounts_dir = ""
    [gates.vision]
    interval_ms = 1000
    [store]
    path = "\(harness.redis.folder)/store.sqlite"
    [accounts.acme]
    token_env = "A"
    [accounts.cobra]
    token_env = "B"
    [pipelines.demo.extraction]
    handler = "pass"
    [pipelines.workiz.setup]
    handler = "workiz"
    """.write(toFile: file, atomically: true, encoding: .utf8)
    try await harness.withWorker(prefixes: ["one", "two"], handler: Handler { _, _ in nil }) {
      try await body(harness, file)
    }
  }

  private static func json(_ line: String) throws -> JSON { try JSON(parsing: Array(line.utf8)) }

  @Test func enqueueKnowsTheWayAndTheOthersFindWhatItSent() async throws {
    try await Self.with { harness, file in
      for account in ["acme", "cobra"] {
        let sent = try await harness.run(
          "enqueue", "--config", file, "--operation", "night", "--id", "\(account)-1", "--account",
          account, "A1", "--wait")
        #expect(sent.status == 0, "\(sent.complaint)")
      }
      #expect(try await harness.redis.cli("HGET", "one:batch:acme-1", "status") == "completed")
      #expect(try await harness.redis.cli("HGET", "two:batch:cobra-1", "status") == "completed")

      let raw = try await harness.run(
        "enqueue", "--config", file, "--raw",
        input: """
          {"id":"r1","operation":"raw","account":"acme"}
          {"id":"r2","operation":"raw","account":"delta"}
          """)
      #expect(raw.status == 0, "\(raw.complaint)")
      let watched = try await harness.run("watch", "--config", file, "raw")
      #expect(watched.status == 0, "\(watched.output)\(watched.complaint)")
      #expect(watched.output.contains("raw one"))
      #expect(watched.output.contains("raw two"))
      let lines = try await harness.run("watch", "--config", file, "raw", "--json").lines
        .map(Self.json).filter { $0["type"] == .string("progress") }
      #expect(Set(lines.compactMap { $0["prefix"]?.string }) == ["one", "two"])
      #expect(lines.allSatisfy { $0["operation"] == .string("raw") })

      let explained = try await harness.run("explain", "--config", file, "r2")
      #expect(explained.output.contains("completed"), "\(explained.output)")
      let operation = try await harness.run("explain", "--config", file, "night")
      #expect(operation.output.contains("operation under one"))
      #expect(operation.output.contains("operation under two"))
      let unknown = try await harness.run("watch", "--config", file, "nobody")
      #expect(unknown.status == 65)
    }
  }

  @Test func anAccountCannotBeSentElsewhere() async throws {
    try await Self.with { harness, file in
      let sent = try await harness.run(
        "enqueue", "--config", file, "--prefix", "one", "--id", "b", "--account", "cobra")
      #expect(sent.status == 65)
      #expect(
        sent.complaint.contains("account \"cobra\" has its batches under the prefix two, not one"))
      #expect(try await harness.redis.cli("EXISTS", "one:enqueue") == "0")
    }
  }

  @Test func whatIsShownIsShownOfEach() async throws {
    try await Self.with { harness, file in
      let status = try await harness.run("status", "--config", file)
      #expect(status.lines.filter { $0.hasPrefix("one") || $0.hasPrefix("two") }.count == 2)
      let workers = try await harness.run("workers", "--config", file, "--json").lines
      #expect(
        try workers.map { try Self.json($0).array?[0]["prefix"] } == [
          .string("one"), .string("two"),
        ])
      let metrics = try await harness.run("metrics", "--config", file)
      #expect(metrics.output.contains("batchd_up{prefix=\"one\"} 1\nbatchd_up{prefix=\"two\"} 1\n"))
      #expect(metrics.output.components(separatedBy: "# TYPE batchd_up ").count == 2)
      let one = try await harness.run("workers", "--config", file, "--prefix", "one", "--json")
      #expect(try Self.json(one.lines[0]).array?[0]["prefix"] == nil)
      let doctor = try await harness.run("doctor", "--config", file, "--json").lines
      #expect(
        try doctor.map { try Self.json($0)["prefix"] } == [.string("one"), .string("two")])
      #expect(doctor[1].contains("the same Redis as that of one"))
      #expect(!doctor[0].contains("the same Redis"))
    }
  }

  @Test func pausesAndSelectionsActWhereTheirBatchesAre() async throws {
    try await Self.with { harness, file in
      #expect(try await harness.run("pause", "--config", file, "account:cobra").status == 0)
      #expect(try await harness.redis.cli("SMEMBERS", "two:paused") == "account:cobra")
      #expect(try await harness.redis.cli("EXISTS", "one:paused") == "0")
      #expect(try await harness.run("resume", "--config", file, "account:cobra").status == 0)
      #expect(try await harness.run("pause", "--config", file, "all").lines.count == 4)
      for prefix in ["one", "two"] {
        #expect(try await harness.redis.cli("SMEMBERS", "\(prefix):paused") == "all")
      }
      for account in ["acme", "cobra", "delta"] {
        _ = try await harness.run(
          "enqueue", "--config", file, "--operation", "night", "--id", account, "--account", account
        )
      }
      for key in ["one:batch:acme", "two:batch:cobra", "two:batch:delta"] {
        await eventually { try await harness.redis.cli("HGET", key, "status") == "pending" }
      }
      let counted = try await harness.run(
        "cancel", "--config", file, "--status", "pending", "--json")
      #expect(try Self.json(counted.lines[0])["matched"] == .integer(3))
      let named = try await harness.run("cancel", "--config", file, "cobra", "acme", "nobody")
      #expect(named.status == 1)
      #expect(named.lines.sorted() == ["acme: cancelled", "cobra: cancelled"])
      #expect(named.complaint.contains("nobody"))
      let rest = try await harness.run("cancel", "--config", file, "operation:night")
      #expect(rest.status == 0, "\(rest.complaint)")
      #expect(try await harness.redis.cli("HGET", "two:batch:delta", "status") == "cancelled")
    }
  }

  @Test func aRefreshIsOneOperationUnderTheHomesOfItsAccounts() async throws {
    try await Self.with { harness, file in
      let refreshed = try await harness.run(
        "refresh", "workiz", "--config", file, "--all-accounts", "--json")
      let report = try Self.json(refreshed.lines[0])
      let operation = try #require(report["operation"]?.string)
      #expect(report["accounts"] == .array([.string("acme"), .string("cobra")]))
      for (prefix, account) in [("one", "acme"), ("two", "cobra")] {
        // The worker of this test knows no workiz: what matters is where the entry went.
        await eventually {
          try await harness.redis.cli("HGET", "\(prefix):batch:\(operation).\(account)", "status")
            == "rejected"
        }
      }
    }
  }

  @Test func whatHasAMeaningUnderOneOnlyAsksForIt() async throws {
    try await Self.with { harness, file in
      let shown = try await harness.run("rejected", "show", "0", "--config", file)
      #expect(shown.status == 64)
      #expect(shown.complaint.contains("say which is meant: --prefix 'one' or 'two'"))
      #expect(try await harness.run("gate", "take", "vision", "--config", file).status == 0)
      let gates = try await harness.redis.cli("KEYS", "*:gate:vision")
      #expect(gates.split(separator: "\n").count == 1)
    }
  }

  @Test func doctorComparesTheListWithThatOfTheWorkers() async throws {
    try await Self.with { harness, file in
      let other = "\(harness.redis.folder)/other.toml"
      try """
      prefixes = ["two", "one"]
      [redis]
      url = "\(harness.redis.url)"
      [store]
      path = "\(harness.redis.folder)/store.sqlite"
      """.write(toFile: other, atomically: true, encoding: .utf8)
      let doctor = try await harness.command(["doctor", "--config", other]).outcome()
      #expect(doctor.status == 1)
      #expect(
        doctor.output.contains("the workers serve one, two, this configuration names two, one"))
    }
  }

  /// What was pushed under the wrong prefix, rejected there and pushed again is found where it runs.
  @Test func aStrayThatWasRejectedHidesNobody() async throws {
    try await Self.with { harness, file in
      let entry = #"{"id":"b","account":"cobra"}"#
      _ = try await harness.redis.cli("LPUSH", "one:enqueue", entry)
      await eventually {
        try await harness.redis.cli("HGET", "one:batch:b", "status") == "rejected"
      }
      let stray = try await harness.run("explain", "--config", file, "b", "--json")
      #expect(try Self.json(stray.lines[0])["prefix"] == .string("one"))
      _ = try await harness.redis.cli("LPUSH", "two:enqueue", entry)
      await eventually {
        try await harness.redis.cli("HGET", "two:batch:b", "status") == "completed"
      }
      let explained = try await harness.run("explain", "--config", file, "b")
      #expect(explained.output.contains("under two"), "\(explained.output)")
      let watched = try await harness.run("watch", "--config", file, "b")
      #expect(watched.status == 0, "\(watched.output)\(watched.complaint)")
      let retried = try await harness.run("retry", "--config", file, "b")
      #expect(retried.complaint.contains("nothing left to do"), "\(retried.complaint)")
    }
  }

  @Test func aSizeOverSeveralPrefixesIsRefused() async throws {
    try await Self.with { harness, file in
      let sent = try await harness.run(
        "enqueue", "--config", file, "--raw",
        input: """
          {"id":"r1","operation":"raw","account":"acme","size":2}
          {"id":"r2","operation":"raw","account":"delta","size":2}
          """)
      #expect(sent.status == 65)
      #expect(sent.complaint.contains("goes to the prefixes one and two"), "\(sent.complaint)")
      #expect(try await harness.redis.cli("EXISTS", "one:batch:r1") == "0")
    }
  }
}
