import Foundation
import Glibc
import Pipeline
import TestSupport
import Testing
import Worker

@testable import enum TestSupport.ChildProcess

/// `watch` and `status` over a worker of this process.
@Suite struct CommandWatchTests {
  private static func objects(_ outcome: CommandHarness.Outcome) throws -> [JSON] {
    try outcome.lines.map { try JSON(parsing: $0.utf8) }
  }

  @Test func watchTellsErrorsAndTheEnd() async throws {
    let harness = try await CommandHarness()
    let isOpen = Latch()
    try await harness.withWorker(
      handler: Handler { job, context in
        try await isOpen.wait()
        guard job.stage == .extraction else { return nil }
        if job.batch == "n2" { throw StageError.permanent("403 Forbidden") }
        try await context.checkpoint(["A": .done(.null), "B": .failed("gone")])
        return nil
      }
    ) {
      for id in ["n1", "n2"] {
        _ = try await harness.run("enqueue", "--id", id, "--operation", "nightly", "A", "B")
      }
      await eventually("both run") { try await harness.redis.cli("ZCARD", "batchd:leases") == "2" }
      // The name of a batch means its operation; without names it is found too.
      let watches = try [["watch", "n1", "--json"], ["watch"]].map { try harness.start($0) }
      await eventually("both watch") {
        try watches.allSatisfy { try $0.output.contains("nightly") }
      }
      isOpen.set()
      let lines = try Self.objects(try await watches[0].outcome())
      let last = lines.last { $0["type"] == .string("progress") }
      #expect(last?["operation"] == .string("nightly"))
      #expect(last?["status"] == .string("completed_with_errors"))
      #expect(last?["items_failed"] == .integer(3))
      let ends = lines.filter { $0["event"] == .string("ended") }
      #expect(ends.contains { $0["error"] == .string("403 Forbidden") })
      #expect(ends.contains { $0["item_errors"] == .object(["B": .string("gone")]) })

      let plain = try await watches[1].outcome()
      #expect(plain.status == 1)
      #expect(
        plain.output.contains("n1 extraction: completed with errors; 1 of 2 items failed: B: gone"))
      #expect(plain.output.contains("n2 extraction: failed: 403 Forbidden"))
      #expect(!plain.output.contains("\u{1B}"))
      #expect(try await harness.run("watch").output == "nothing is under way\n")
    }
  }

  @Test func watchOutlivesARestartOfRedis() async throws {
    let harness = try await CommandHarness(redisArguments: [
      "--appendonly", "yes", "--appendfsync", "always",
    ])
    let isOpen = Latch()
    try await harness.withWorker(handler: .held(by: isOpen)) {
      _ = try await harness.run("enqueue", "--id", "b1", "A")
      await eventually("b1 runs") { try await harness.redis.cli("ZCARD", "batchd:leases") == "1" }
      let watch = try harness.start(["watch", "b1"])
      await eventually("it is watched") { try watch.output.contains("0/1 items") }
      harness.redis.kill()
      await eventually("it is said") { try watch.output.contains("no Redis, trying again: ") }
      try await harness.redis.start()
      await eventually("it goes on") { try watch.output.contains("Redis is back") }
      isOpen.set()
      let outcome = try await watch.outcome()
      #expect(outcome.status == 0)
      #expect(outcome.lines.last?.contains("1/1 items  completed") == true)
    }
  }

  @Test func ctrlCEndsAWatchThatNobodyReads() async throws {
    let harness = try await CommandHarness()
    let isOpen = Latch()
    try await harness.withWorker(handler: .held(by: isOpen)) {
      _ = try await harness.run("enqueue", "--id", "b1", "A")
      await eventually("b1 runs") { try await harness.redis.cli("ZCARD", "batchd:leases") == "1" }
      let pipe = Pipe()
      let full = pipe.fileHandleForWriting.fileDescriptor
      let size = 65_536
      #expect(write(full, [UInt8](repeating: 10, count: size), size) == size)
      func clients() async throws -> [String: String] {
        let lines = try await harness.redis.cli("CLIENT", "LIST").split(separator: "\n")
        return Dictionary(
          lines.map { line in
            (String(line.prefix { $0 != " " }), String(line))
          }, uniquingKeysWith: { $1 })
      }
      let before = try await clients()
      let watch = try harness.start(
        ["watch", "b1", "--json"], output: pipe.fileHandleForWriting)
      await eventually("it waits for a reader instead of looking") {
        try await clients().contains {
          before[$0.key] == nil && $0.value.contains(#/ idle=[1-9]/#)
        }
      }
      let began = ContinuousClock.now
      watch.interrupt()
      #expect(try await watch.outcome().status == 130)
      #expect(.now - began < .seconds(5))
      isOpen.set()
    }
  }

  @Test func ctrlCEndsAWatchAsAShellExpects() async throws {
    let harness = try await CommandHarness()
    let isOpen = Latch()
    try await harness.withWorker(handler: .held(by: isOpen)) {
      _ = try await harness.run("enqueue", "--id", "b1", "A")
      await eventually("b1 runs") { try await harness.redis.cli("ZCARD", "batchd:leases") == "1" }
      let watch = try harness.start(["watch"])
      await eventually("it is watched") { try watch.output.contains("b1") }
      watch.interrupt()
      #expect(try await watch.outcome().status == 130)
      isOpen.set()
    }
  }

  @Test func ctrlCEndsAWait() async throws {
    let harness = try await CommandHarness()
    let isOpen = Latch()
    try await harness.withWorker(handler: .held(by: isOpen)) {
      let wait = try harness.start(["enqueue", "--id", "b1", "--wait", "A"])
      await eventually("it is watched") { try wait.output.contains("0/1 items") }
      wait.interrupt()
      #expect(try await wait.outcome().status == 130)
      _ = try await harness.run("pause", "pipeline:demo")
      let paused = try harness.start(["enqueue", "--id", "b2", "--wait", "A"])
      await eventually("it is watched") { try paused.output.contains("b2  0%") }
      paused.interrupt()
      #expect(try await paused.outcome().status == 130)
      isOpen.set()
    }
  }

  @Test func anAnswerThatCannotBeWrittenIsAnError() async throws {
    let harness = try await CommandHarness()
    for words in ["status", "rejected", "doctor", "metrics"] {
      let shell = try await ChildProcess.run(
        [
          "/bin/sh", "-c", "\"$0\" \"$@\" > /dev/full; echo $?", RunningCommand.binary.path, words,
          "--redis", harness.redis.url,
        ], in: harness.redis.folder)
      #expect(shell.contains("74"), "\(words): \(shell)")
    }
  }

  @Test func statusShowsWhatIsWrong() async throws {
    let harness = try await CommandHarness()
    let isOpen = Latch()
    try await harness.withWorker(
      "night-1",
      handler: Handler { job, _ in
        if job.batch == "bad" { throw StageError.permanent("account is closed") }
        try await isOpen.wait()
        return nil
      }
    ) {
      for id in ["bad", "b1", "b2", "b3"] {
        let account = id == "bad" ? "bolt" : "acme"
        _ = try await harness.run("enqueue", "--id", id, "--account", account, "A")
      }
      _ = try await harness.run("enqueue", "--id", "later", "--delay", "3600")
      _ = try await harness.redis.cli("LPUSH", "batchd:enqueue", "nonsense")
      let epoch = try await harness.redis.cli("HGET", "batchd:meta", "epoch")
      _ = try await harness.redis.cli(
        "FCALL", "batchd_gate_close", "1", "batchd", epoch, "workiz:acme", "90000", "429")
      _ = try await harness.run("pause", "stage:demo:extraction")
      for (command, key, count) in [
        ("ZCARD", "failed", "1"), ("LLEN", "rejected", "1"), ("LLEN", "lane:demo:acme", "2"),
        ("ZCARD", "delayed", "1"),
      ] {
        await eventually("\(key) holds \(count)") {
          try await harness.redis.cli(command, "batchd:\(key)") == count
        }
      }
      await eventually("the worker has said that one runs") {
        try await harness.redis.cli("HGET", "batchd:worker:night-1", "running") == "1"
      }
      let status = try await harness.run("status")
      #expect(status.status == 0)
      for words in [
        "PAUSED    stage:demo:extraction", "running   1 lease", "delayed   1, the next in 59m",
        "lanes     1 busy, 2 waiting", "failed    1", "rejected  1, the newest: ",
        "demo:acme  b1     setup  running          2  closed for 1m",
        "demo         0           0           -", "night-1", "workiz:acme     1m", "  429",
        "account is closed",
      ] {
        #expect(status.output.contains(words), "\(words) in\n\(status.output)")
      }
      let json = try JSON(parsing: try await harness.run("status", "--json").output.utf8)
      #expect(json["paused"] == .array([.string("stage:demo:extraction")]))
      #expect(json["leases"] == .integer(1))
      #expect(json["closed_gates"]?.array?.first?["reason"] == .string("429"))
      #expect(json["workers"]?.array?.first?["running"] == .integer(1))
      #expect(json["last_failed"]?.array?.first?["error"] == .string("account is closed"))
      #expect(json["lanes"]?.array?.first?["holder"] == .string("b1"))
      isOpen.set()
    }
  }
}
