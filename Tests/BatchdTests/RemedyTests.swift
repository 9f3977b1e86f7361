import Foundation
import Pipeline
import TestSupport
import Testing
import Worker

/// Each mistake of a person is answered with what happened, to what, and what to do.
@Suite struct RemedyTests {
  /// Words with which a remedy begins, or that show one.
  private static var remedy: Regex<(Substring, Substring?)> {
    /(?i)\b(give|leave|either|missing|required|known|must have|enqueue|needs|what to|nothing left|name|use|start|stop|raise|set|set it|split|mend|make|correct|see|wait|quote|convert|try|check|must be|known:|there are|has:|paused:|batchd [a-z]+|--[a-z-]+)\b|\?/
  }

  private static let mistakes: [[String]] = [
    ["retry", "nosuch"], ["cancel", "nosuch"], ["cancel", "operation:nosuch"], ["retry", "done"],
    ["cancel", "done"], ["retry", "later"], ["retry", "done", "--stage", "seetup"],
    ["pause", "everything"], ["pause", "pipeline:dmo"], ["pause", "stage:demo:persistence"],
    ["resume", "all"], ["rejected", "show", "7"], ["rejected", "reenter", "7"],
    ["rejected", "drop", "x"], ["watch", "nosuch"], ["watch", "bad"],
    ["explain", "operation:nosuch"], ["failed", "--limit", "0"],
    ["enqueue"], ["enqueue", "--id", "done"], ["enqueue", "--id", "a b"],
    ["enqueue", "--id", "n", "--pipeline", "dmo"], ["enqueue", "--id", "n", "--at", "noon"],
    ["enqueue", "--id", "n", "--delay", "-1"], ["enqueue", "--id", "n", "x", "x"],
    ["enqueue", "--id", "n", "--payload", "{"], ["enqueue", "--raw"],
    ["enqueue", "--id", "n", "--items-file", "/nowhere"],
    ["enqueue", "--id", "later", "--rerun"], ["status", "--config", "/nowhere.toml"],
    ["status", "--prefix", "a b"], ["gate", "take", "nosuch"], ["statsu"],
    ["history", "--config", "/nowhere.toml"],
  ]

  @Test func everyComplaintSaysWhatToDo() async throws {
    let harness = try await CommandHarness()
    try await harness.withWorker(handler: Handler { _, _ in nil }) {
      _ = try await harness.run("enqueue", "--id", "done", "--wait")
      _ = try await harness.run("enqueue", "--id", "later", "--delay", "3600")
      _ = try await harness.redis.cli("LPUSH", "batchd:enqueue", #"{"id":"bad","color":1}"#)
      await eventually("all are there") {
        try await harness.redis.cli("EXISTS", "batchd:batch:bad", "batchd:batch:later") == "2"
      }
      for mistake in Self.mistakes {
        let takesRedis = mistake.first != "history"
        let run =
          takesRedis ? try harness.start(mistake) : try harness.command(mistake)
        let outcome = try await run.outcome()
        let words = outcome.complaint
        #expect(outcome.status > 1 && outcome.output.isEmpty, "\(mistake): \(outcome)")
        #expect(words.contains(Self.remedy), "\(mistake): \(words)")
        #expect(!words.contains("Error Domain") && !words.contains("Optional("), "\(words)")
      }
    }
  }

  /// What a worker rejects, and a command refuses before.
  @Test(arguments: [
    "{", "[]", "{}", #"{"id":"a","color":1}"#, #"{"id":"a b"}"#, #"{"id":1.5}"#,
    #"{"id":"a","items":7}"#, #"{"id":"a","items":["x","x"]}"#, #"{"id":"a","items":[{}]}"#,
    #"{"id":"a","items":["1","2","3"]}"#, #"{"id":"a","items":[""]}"#,
    #"{"id":"a","payload":[[[[[]]]]]}"#, #"{"id":"a","priority":"low"}"#,
    #"{"id":"a","delay":-1}"#, #"{"id":"a","at":"noon"}"#, #"{"id":"a","at":"","delay":1}"#,
    #"{"id":"a","size":0}"#, #"{"rerun":true,"operation":"o"}"#,
  ])
  func whatIsNoEnvelopeIsToldWhatItLacks(entry: String) {
    var limits = Limits()
    limits.itemCount = 2
    limits.jsonDepth = 4
    let error = #expect(throws: EnvelopeError.self) {
      try Envelope(parsing: Array(entry.utf8), limits: limits)
    }
    let words = error.map { "\($0)" } ?? ""
    #expect(words.contains(Self.remedy), "\(entry): \(words)")
  }

  @Test func aRefusalOfRedisSaysWhatToDo() async throws {
    let harness = try await CommandHarness()
    _ = try await harness.redis.cli(
      "ACL", "SETUSER", "weak", "on", ">pw", "~*", "+ping", "+info", "+role")
    let url = harness.redis.url
    let config = "\(harness.redis.folder)/weak.toml"
    try """
    redis.url = "\(url)"
    redis.user = "weak"
    redis.password_env = "WEAK"
    """.write(toFile: config, atomically: true, encoding: .utf8)
    let outcome = try await harness.command(
      ["explain", "b1", "--config", config], environment: ["WEAK": "pw"]
    ).outcome()
    #expect(outcome.status == 77 && outcome.complaint.contains("Redis refuses: NOPERM"))
    #expect(outcome.complaint.contains("check user and password"))
  }
}
