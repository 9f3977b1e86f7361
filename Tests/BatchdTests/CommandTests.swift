import Foundation
import Pipeline
import TestSupport
import Testing
import Worker

/// The one-shot commands as a person runs them, on a real Redis.
@Suite struct CommandTests {
  @Test func enqueueChecksBeforeItSends() async throws {
    let harness = try await CommandHarness()
    try await harness.withWorker(handler: Handler { _, _ in nil }) {
      let done = try await harness.run(
        "enqueue", "--id", "b1", "--account", "acme", "--payload", #"{"a":1}"#, "A", "B", "--wait")
      #expect(done.status == 0)
      #expect(done.lines.first == "b1")
      #expect(done.lines.last?.contains("100%  2/2 items  completed in ") == true)
      #expect(try await harness.redis.cli("HGET", "batchd:batch:b1", "account") == "acme")

      let again = try await harness.run("enqueue", "--id", "b1")
      #expect(again.status == 65)
      #expect(again.complaint.hasPrefix("batchd: batch \"b1\" is known already (completed)"))
      let rerun = try await harness.run("enqueue", "--id", "b1", "A", "--rerun", "--wait")
      #expect(rerun.status == 0)
      #expect(try await harness.redis.cli("HGET", "batchd:batch:b1", "run") == "2")

      let typo = try await harness.run("enqueue", "--id", "b2", "--pipeline", "dmo")
      #expect(typo.status == 65)
      #expect(typo.complaint.contains("pipeline \"dmo\" is not known; known: demo"))
      for wrong in [
        ["--id", "a b"], ["--id", "b2", "--at", "noon"], ["x", "x"], ["--payload", "{"],
      ] {
        let outcome = try await harness.start(["enqueue"] + wrong).outcome()
        #expect(outcome.status == 64, "\(wrong): \(outcome.complaint)")
      }
      #expect(try await harness.redis.cli("EXISTS", "batchd:batch:b2") == "0")
    }
  }

  @Test func rawEnvelopesAreAllCheckedFirst() async throws {
    let harness = try await CommandHarness()
    let good = #"{"id":"r1"}"# + "\n\n" + #"{"operation":"o"}"# + "\n"
    let wrong = try await harness.run(
      "enqueue", "--raw", input: good + #"{"id":"r2","itmes":[]}"# + "\n")
    #expect(wrong.status == 65)
    #expect(wrong.complaint.hasPrefix("batchd: line 4: itmes: unknown field"))
    #expect(try await harness.redis.cli("LLEN", "batchd:enqueue") == "0")

    let sent = try await harness.run("enqueue", "--raw", "--json", input: good)
    #expect(sent.status == 0)
    #expect(sent.complaint.contains("no worker is running"))
    #expect(
      sent.output.hasPrefix(#"{"ids":["r1"],"operations":["o","r1"],"watch":"batchd watch o r1"#))
    #expect(
      try await harness.redis.cli("LRANGE", "batchd:enqueue", "0", "-1")
        == #"{"operation":"o"}"# + "\n" + #"{"id":"r1"}"#)
    #expect(try await harness.run("enqueue", "--raw", "--id", "x").status == 64)
  }

  @Test func stepsInWithTheFunctionsWords() async throws {
    let harness = try await CommandHarness()
    // Nobody has loaded the functions yet: who reads does not, who acts does.
    #expect(try await harness.run("status").status == 0)
    #expect(try await harness.redis.cli("FUNCTION", "LIST") == "")
    let stranger = try await harness.run("pause", "all")
    #expect(
      stranger.complaint.hasPrefix("batchd: no worker ever used the prefix batchd; start one"))
    try await harness.withWorker(handler: .init { _, _ in nil }, {})
    #expect(try await harness.run("pause", "all").output == "all: paused\n")
    #expect(
      try await harness.run("pause", "all", "--json").output
        == #"{"answer":"already paused","what":"all"}"# + "\n")
    #expect(try await harness.run("resume", "all").output == "all: resumed\n")
    for (arguments, words) in [
      (["resume", "all"], "\"all\" is not paused; paused: nothing"),
      (["pause", "everything"], "\"everything\" is not what to pause: all, pipeline:P"),
      (["retry", "b9"], "batch \"b9\" is not known"),
      (["cancel", "operation:b9"], "operation \"b9\" is not known"),
      (["rejected", "show", "0"], "no rejected entry at position 0; there are 0"),
      (["rejected", "drop", "7"], "no rejected entry at position 7; there are 0"),
      (["watch", "b9"], "nothing is known of \"b9\""),
    ] {
      let outcome = try await harness.start(arguments).outcome()
      #expect(outcome.status == 65, "\(arguments)")
      #expect(outcome.complaint.hasPrefix("batchd: " + words), "\(outcome.complaint)")
    }
    #expect(try await harness.run("retry", "b9", "--from", "sepup").status == 64)
  }

  @Test func aFailedBatchIsRetriedAndCancelled() async throws {
    let harness = try await CommandHarness()
    let isOpen = Latch()
    try await harness.withWorker(
      handler: Handler { _, _ in
        if !isOpen.isSet { throw StageError.permanent("no such account") }
        return nil
      }
    ) {
      let failed = try await harness.run("enqueue", "--id", "b1", "A", "--wait")
      #expect(failed.status == 1)
      #expect(failed.output.contains("b1 setup: failed: no such account"))
      isOpen.set()
      #expect(
        try await harness.run("retry", "b1", "--from", "setup").output
          == "b1: retrying run 2 from setup\n")
      #expect(try await harness.run("watch", "b1").status == 0)

      #expect(try await harness.run("enqueue", "--id", "b2", "--delay", "3600").status == 0)
      await eventually("b2 is delayed") {
        try await harness.redis.cli("ZCARD", "batchd:delayed") == "1"
      }
      #expect(try await harness.run("cancel", "b2").output == "b2: cancelled\n")
      let watched = try await harness.run("watch", "b2")
      #expect(watched.status == 1)
      #expect(watched.output.contains("cancelled"))
    }
  }

  @Test func rejectedEntriesAreShownReenteredAndDropped() async throws {
    let harness = try await CommandHarness()
    try await harness.withWorker(handler: Handler { _, _ in nil }) {
      for entry in ["{", #"{"id":"b1","color":"red"}"#] {
        _ = try await harness.redis.cli("LPUSH", "batchd:enqueue", entry)
      }
      await eventually("both are rejected") {
        try await harness.redis.cli("LLEN", "batchd:rejected") == "2"
      }
      let list = try await harness.run("rejected")
      #expect(list.lines.count == 3)
      #expect(list.lines[1].hasPrefix("0  ") && list.lines[1].contains("color: unknown field"))
      let shown = try await harness.run("rejected", "show", "0")
      #expect(shown.output == #"{"id":"b1","color":"red"}"#)
      #expect(shown.complaint.contains("25 bytes: color: unknown field"))
      #expect(try await harness.run("rejected", "drop", "1").output == "dropped 1 entry\n")
      let watch = try await harness.run("watch", "b1")
      #expect(watch.status == 65 && watch.complaint.contains("was rejected: color"))
      #expect(
        try await harness.run("rejected", "reenter", "all").output == "re-entered 1 entry\n")
      await eventually("it is rejected again") {
        try await harness.redis.cli("HGET", "batchd:stats", "rejected") == "3"
      }
      #expect(try await harness.run("rejected", "list", "--json").output.contains(#""position":0"#))
    }
  }

  @Test func aRejectedEntryIsShownExactlyAndMended() async throws {
    let harness = try await CommandHarness()
    let file = "\(harness.redis.folder)/entry.json"
    try await harness.withWorker(handler: Handler { _, _ in nil }) {
      let bytes: [UInt8] = Array("{\"id\":\"b1\",\r\n\"items\":[\"".utf8) + [0xFF, 0, 0x1B, 0x0A]
      try Data(bytes).write(to: URL(filePath: file))
      _ = try await harness.redis.shell("rcli -x LPUSH batchd:enqueue < \(file)")
      await eventually("it is rejected") {
        try await harness.redis.cli("LLEN", "batchd:rejected") == "1"
      }
      let shown = try await harness.redis.shell(
        "\(RunningCommand.binary.path) rejected show 0 --redis \(harness.redis.url) 2>/dev/null"
          + " | od -An -v -tu1")
      #expect(shown.split { $0.isWhitespace }.compactMap { UInt8($0) } == bytes)
      let json = try JSON(
        parsing: try await harness.run("rejected", "show", "0", "--json").output.utf8)
      #expect(
        json["entry_base64"]?.string.flatMap { Data(base64Encoded: $0) }.map { [UInt8]($0) }
          == bytes)

      let edited = ["rejected", "reenter", "0", "--edited"]
      let at = try #require(json["at"]?.string)
      let byTime = try await harness.run("rejected", "show", at, "--json")
      #expect(try JSON(parsing: byTime.output.utf8) == json)
      let others = ["rejected", "drop", "2026-01-31T12:00:00.000Z"]
      #expect(try await harness.start(others).outcome().status == 65)
      #expect(try await harness.run("rejected", "show", "first").status == 64)
      let wrong = try await harness.start(edited + ["-"], input: #"{"id":"b1","itmes":[]}"#)
        .outcome()
      #expect(wrong.status == 65 && wrong.complaint.hasPrefix("batchd: -: itmes: unknown field"))
      #expect(try await harness.redis.cli("LLEN", "batchd:rejected") == "1")
      try Data("{\n  \"id\": \"b1\"\n}\n".utf8).write(to: URL(filePath: file))
      // Another one comes first: a time still means the same.
      _ = try await harness.redis.cli("LPUSH", "batchd:enqueue", "other")
      await eventually("it is rejected, too") {
        try await harness.redis.cli("LLEN", "batchd:rejected") == "2"
      }
      let mended = try await harness.run("rejected", "reenter", at, "--edited", file)
      #expect(mended.output == "re-entered 1 entry\n", "\(mended.complaint)")
      #expect(try await harness.run("watch", "b1").status == 0)
      #expect(try await harness.run("rejected", "show", "0").output == "other")
      #expect(try await harness.redis.cli("LLEN", "batchd:rejected") == "1")
      #expect(try await harness.run("rejected", "reenter", "all", "--edited", file).status == 64)
    }
  }

  @Test func withoutRedisThereIsOneLineAndSoon() async throws {
    let harness = try await CommandHarness()
    harness.redis.suspend()
    let start = ContinuousClock.now
    let silent = try await harness.run("status")
    #expect(ContinuousClock.now - start < .seconds(10))
    harness.redis.resume()
    #expect(silent.status == 69 && silent.output.isEmpty)
    harness.redis.kill()
    for arguments in [["status"], ["watch"], ["retry", "b1"], ["enqueue", "--id", "b1"]] {
      let outcome = try await harness.start(arguments).outcome()
      #expect(outcome.status == 69)
      #expect(outcome.complaint.split(separator: "\n").count == 1)
      #expect(outcome.complaint.hasPrefix("batchd: cannot use Redis at \(harness.redis.url): "))
    }
    #expect(try await harness.run("status", "--config", "/nowhere.toml").status == 66)
  }
}
