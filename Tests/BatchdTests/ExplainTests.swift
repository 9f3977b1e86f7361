import ArgumentParser
import Foundation
import Pipeline
import TestSupport
import Testing
import Worker

@testable import Queue
@testable import batchd

/// `explain` and `failed` in words and in JSON.
@Suite struct ExplainTests {
  private static let now = 1_800_000_000_000
  private static let again = " --prefix p"

  private static let fields = [
    "status": "pending", "pipeline": "demo", "stage": "extraction", "operation": "o",
    "attempt": "1", "run": "1",
  ]

  private static func batch(_ id: String, _ more: [String: String] = [:]) -> BatchState {
    BatchState(id, fields.merging(more) { $1 })!
  }

  private static func explanation(
    _ whereabouts: Explanation.Whereabouts, _ more: [String: String]? = [:],
    _ change: (inout Explanation) -> Void = { _ in }
  ) -> Explanation {
    var found = Explanation("b1", at: now)
    found.whereabouts = whereabouts
    found.batch = more.map { batch("b1", $0) }
    found.workers = 2
    found.serving = [worker("w1", beat: now - 1_000)]
    change(&found)
    return found
  }

  private static func worker(_ name: String, beat: Int) -> WorkerStatus {
    WorkerStatus(
      name: name, state: now - beat > 30_000 ? .silent : .alive, host: "h", pid: 7, version: "",
      slots: 4, running: 2, beatAt: beat, startedAt: nil, serves: [], counters: [:])
  }

  private static func holder(
    _ whereabouts: Explanation.Whereabouts, until: Int? = nil
  ) -> Explanation.Neighbour {
    .init(
      batch: batch("a1", ["status": "retrying", "error": "503"]), whereabouts: whereabouts,
      until: until, holder: nil)
  }

  /// What is found, pieces of the page, pieces of what comes next.
  private static let cases: [(Explanation, [String], [String])] = [
    (
      explanation(.unknown, nil), ["nowhere: Redis knows no batch"],
      ["never enqueued here", "batchd history b1"]
    ),
    (
      explanation(.unknown, nil) { $0.unseenEntries = 7 },
      ["at least 7 entries of batchd:enqueue lie too deep"], ["a worker admits it after those"]
    ),
    (
      explanation(.unknown, nil) { $0.hasEnvelopeOnly = true }, ["its record is gone"],
      ["batchd doctor --repair --prefix p"]
    ),
    (
      explanation(.enqueued, nil) {
        ($0.place, $0.ahead, $0.workers) = ("batchd:enqueue", 3, 0)
      }, ["in batchd:enqueue, behind 3 entries", "no worker is running"],
      ["until a worker starts", "batchd work"]
    ),
    (
      explanation(.rejected, nil) {
        $0.rejection = .init(position: 4, at: nil, reason: "color: unknown field; known: id")
      }, ["color: unknown field", "do        correct the producer"],
      ["batchd rejected reenter 4 --prefix p"]
    ),
    (
      explanation(.queue) { $0.ahead = 2 },
      ["in the list of demo:extraction, behind 2 batches", "1 serves demo:extraction: w1"],
      ["a worker takes it"]
    ),
    (
      explanation(.queue) { $0.takenBy = "w1" }, ["taken out of the list of demo:extraction by w1"],
      ["within milliseconds", "batchd status"]
    ),
    (
      explanation(.queue) { ($0.ahead, $0.serving) = (0, []) },
      ["extraction, next", "none of the 2 living workers serves demo:extraction"],
      ["nothing until a worker that serves demo:extraction starts", "batchd work"]
    ),
    (
      explanation(.queue) { ($0.ahead, $0.paused) = (0, ["all", "stage:demo:extraction"]) },
      ["all: nothing of it starts"],
      [
        "nothing until all and stage:demo:extraction is resumed", "batchd resume all --prefix p",
        "batchd resume stage:demo:extraction --prefix p",
      ]
    ),
    (
      explanation(.lane) {
        ($0.ahead, $0.lane) = (1, "demo:x")
        $0.holder = holder(.delayed, until: now + 90_000)
      },
      [
        "in the lane of demo:x, behind 1 batch",
        "held by a1: extraction, retrying until 08:01:30 (in 1m30s): 503",
      ],
      ["when a1 ends", "batchd explain a1 --prefix p"]
    ),
    (
      explanation(.lane) {
        ($0.ahead, $0.lane, $0.paused) = (0, "demo:x", ["account:x"])
      }, ["it holds demo:x itself"], ["batchd resume account:x"]
    ),
    (
      explanation(.lane) { ($0.ahead, $0.lane) = (0, "demo:x") }, ["nobody holds it"],
      ["batchd doctor --repair"]
    ),
    (
      explanation(.suspects) { ($0.ahead, $0.crashes) = (0, 1) },
      ["among the suspects", "its worker died under it (1 crash)"], ["runs it alone", "crash 3"]
    ),
    (
      explanation(
        .delayed, ["status": "retrying", "attempt": "2", "error": "timed out after 5 ms"]
      ) { $0.dueAt = now + 4_000 },
      [
        "delayed until 08:00:04 (in 4s)",
        "backoff before attempt 2 of 4; the last one failed: timed out", "do        raise the",
      ], ["at 08:00:04 (in 4s) it enters the list of demo:extraction"]
    ),
    (
      explanation(.delayed) { $0.dueAt = now + 86_400_000 },
      ["delayed until 2027-01-16 08:00:00 (in 1d00h)", "its envelope asks for it"], ["enters"]
    ),
    (
      explanation(.delayed, ["status": "processing", "error": "gate svc is closed"]) {
        $0.dueAt = now + 9_000
        $0.gates = [
          Snapshot.Gate("svc", ["next_ms": "\(now + 8_000)", "reason": "429 from svc"])
        ]
      },
      [
        "put off, at no cost: gate svc is closed",
        "svc is closed until 08:00:08 (in 8s): 429 from svc",
      ], ["enters the list"]
    ),
    (
      explanation(.leased, ["worker": "w1", "items_total": "9", "items_done": "3"]) {
        $0.leaseExpiresAt = now + 14_000
        $0.worker = worker("w1", beat: now - 2_000)
      },
      [
        "running demo:extraction, attempt 1 of 4", "held by w1", "until 08:00:14 (in 14s)",
        "w1 on h, pid 7, last heard 07:59:58 (2s ago)", "3 of 9 done",
      ], ["its worker goes on with it"]
    ),
    (
      explanation(.leased, ["worker": "w1"]) {
        $0.leaseExpiresAt = now + 5_000
        $0.worker = worker("w1", beat: now - 40_000)
      }, ["it seems dead"],
      ["at 08:00:05 (in 5s) another worker ends the lease: it becomes a suspect", "crash 3"]
    ),
    (
      explanation(.leased, ["worker": "w1"]) {
        ($0.leaseExpiresAt, $0.workers, $0.serving) = (now - 5_000, 0, [])
        $0.worker = worker("w1", beat: now - 40_000)
      }, ["it seems dead", "ran out, not renewed, at 07:59:55 (5s ago)"],
      ["nothing until a worker starts, for no other is running", "batchd work"]
    ),
    (
      // Not yet given up, and alone.
      explanation(.leased, ["worker": "w1"]) {
        ($0.leaseExpiresAt, $0.workers) = (now - 1_000, 1)
        $0.worker = worker("w1", beat: now - 20_000)
      }, ["ran out"], ["starts or this one is heard again"]
    ),
    (
      explanation(.leased, ["worker": "w1"]) {
        ($0.leaseExpiresAt, $0.isCancelling) = (now - 1_000, true)
        $0.worker = worker("w1", beat: now - 20_000)
      }, ["ran out"], ["within seconds another worker ends the lease: it ends as cancelled"]
    ),
    (
      explanation(.leased, ["worker": "w1"]) {
        ($0.leaseExpiresAt, $0.paused) = (now + 9_000, ["all"])
        $0.worker = worker("w1", beat: now)
      }, ["all: nothing of it starts"],
      ["goes on to the end of the stage; then nothing until all is resumed", "batchd resume all"]
    ),
    (
      explanation(.leased, ["worker": "w1"]) {
        ($0.isCancelling, $0.worker) = (true, worker("w1", beat: now))
        $0.leaseExpiresAt = now + 9_000
      }, ["cancel    asked for"], ["ends as cancelled within seconds"]
    ),
    (
      explanation(
        .ended,
        ["status": "failed", "error": "x exited with 1", "finished_at": "2027-01-15T07:00:00.000Z"]
      ) {
        ($0.keptUntil, $0.itemErrors) = (now + 60_000, ["i": "gone"])
      },
      [
        "failed, 07:00:00 (1h00m ago)", "in Redis until 08:01:00", "i: gone",
        "`batchd try demo.extraction --item A1`",
      ], ["batchd retry b1 --prefix p"]
    ),
    (
      explanation(.ended, ["status": "completed"]), ["written it to the results store"],
      ["nothing: it is done", "rerun"]
    ),
    (
      explanation(.ended, ["status": "completed_with_errors"]), ["completed with errors"],
      ["batchd retry b1"]
    ),
    (explanation(.ended, ["status": "cancelled"]), ["cancelled"], ["batchd retry b1"]),
    (
      explanation(.adrift) { $0.place = "batchd:elsewhere" },
      ["batchd:elsewhere does not hold it"], ["batchd doctor --repair"]
    ),
  ]

  @Test(arguments: cases.indices) func thePageSaysWhyAndWhatNext(_ at: Int) {
    let (found, pieces, nexts) = Self.cases[at]
    let words = ExplanationWords(found: found, retries: 3, maxCrashes: 3)
    let page = words.page.lines(width: nil).map(\.plainText).joined(separator: "\n")
    for piece in pieces { #expect(page.contains(piece), "\(piece) in\n\(page)") }
    let next = NextStep.of(words, again: Self.again, config: "")
    let told = ([next.text] + next.commands).joined(separator: "\n")
    for piece in nexts { #expect(told.contains(piece), "\(piece) in\n\(told)") }
    // Whatever a person may type is a command that exists.
    for command in next.commands {
      let words = command.split(separator: " ").map(String.init)
      #expect(words[0] == "batchd" && words.count > 1)
      #expect((try? Batchd.parseAsRoot(Array(words.dropFirst()))) != nil, "\(command)")
    }
  }

  @Test(arguments: [40, 79, 200]) func aLongTextIsWrappedNotCut(width: Int) {
    var page = FactPage()
    let text = (1...40).map { "word\($0)" }.joined(separator: " ")
    page.add("why", text)
    let lines = page.lines(width: width).map(\.plainText)
    #expect(lines.allSatisfy { $0.count <= width + 2 })
    #expect(lines[0].hasPrefix("why       word1 "))
    let all = lines.joined(separator: " ").split(separator: " ").dropFirst()
    #expect(all.joined(separator: " ") == text)
  }

  @Test func theyExplainARealQueue() async throws {
    let harness = try await CommandHarness()
    let alone = try await harness.run("explain", "b1")
    #expect(alone.status == 65 && alone.output.contains("nowhere: Redis knows no batch"))
    try await harness.withWorker(
      handler: Handler { job, _ in
        switch job.batch {
        case "bad": throw StageError.permanent("x failed for good (exit code 65)")
        case "busy": throw StageError.retry("503", afterMilliseconds: 3_600_000)
        default: return nil
        }
      }
    ) {
      for (id, account) in [("bad", "acme"), ("busy", "bolt"), ("next", "bolt")] {
        _ = try await harness.run(
          "enqueue", "--id", id, "--operation", "nightly", "--account", account, "A")
      }
      await eventually("they are there") {
        for (id, status) in [("busy", "retrying"), ("bad", "failed"), ("next", "pending")] {
          let found = try await harness.redis.cli("HGET", "batchd:batch:\(id)", "status")
          guard found == status else { return false }
        }
        return true
      }
      let next = try await harness.run("explain", "next")
      #expect(next.status == 0)
      for piece in ["demo:bolt is held by busy: setup, retrying until", "batchd explain busy"] {
        #expect(next.output.contains(piece), "\(next.output)")
      }
      let busy = try await harness.run("explain", "busy", "--json")
      let json = try JSON(parsing: busy.output.utf8)
      #expect(
        json["whereabouts"] == .string("delayed") && json["batch"]?["error"] == .string("503"))
      #expect(json["next"]?["text"]?.string?.contains("enters the list of demo:setup") == true)
      #expect(json["summary"]?.string?.hasPrefix("delayed until ") == true)
      let due = try await harness.redis.cli("ZSCORE", "batchd:delayed", "busy")
      #expect(json["due_at"] == .integer(try #require(Int64(due))))
      let operation = try await harness.run("explain", "nightly")
      for piece in ["nightly  operation  processing", "waits for busy", "failed    bad setup"] {
        #expect(operation.output.contains(piece), "\(operation.output)")
      }

      let failed = try await harness.run("failed", "--operation", "nightly")
      #expect(failed.lines[1].hasPrefix("bad  ") && failed.lines[1].hasSuffix("(exit code 65)"))
      #expect(failed.output.contains("do        “failed for good (exit code 65)”: "))
      #expect(failed.output.contains("batchd explain bad"))
      let rows = try JSON(parsing: try await harness.run("failed", "--json").output.utf8).array
      #expect(rows?.count == 1 && rows?[0]["id"] == .string("bad"))
      #expect(rows?[0]["what_to_do"]?.string?.contains("`batchd retry bad`") == true)
      for other in [["--account", "bolt"], ["--pipeline", "x"], ["--operation", "x"]] {
        let none = try await harness.start(["failed"] + other).outcome()
        #expect(none.output == "nothing has failed that fits\n", "\(other)")
      }
    }
  }

  @Test(arguments: [80, 120]) func aFailedBatchShowsItsError(width: Int) {
    let batches = [
      Self.batch(
        "b1",
        [
          "status": "failed", "error": "x exited with 1: no GPU", "account": "acme",
          "finished_at": "2027-01-15T07:59:00.000Z", "items_total": "3", "items_failed": "2",
        ]), Self.batch("b2", ["status": "failed", "error": "its own"]),
    ]
    let lines = FailedCommand.lines(batches, now: Self.now, width: width).map(\.plainText)
    #expect(lines.allSatisfy { $0.count <= width + 2 })
    #expect(
      lines[1].hasPrefix("b1     1m00s ago  demo      acme     extraction    1        0    2/3"))
    #expect((width < 100 ? lines[2] == "  x exited with 1: no GPU" : lines[1].hasSuffix("no GPU")))
    #expect(lines.joined(separator: "\n").contains("do        “exited with”: `batchd try"))
  }

  /// Nothing that they ask Redis needs another right than the workers' user has.
  @Test func theyMakeDoWithTheRightsOfTheUser() async throws {
    let harness = try await CommandHarness()
    let root = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../..")
    let acl = try String(contentsOf: root.appending(path: "deploy/redis.acl"), encoding: .utf8)
    let config = "\(harness.redis.folder)/user.toml"
    try """
    redis.url = "\(harness.redis.url)"
    redis.user = "batchd"
    redis.password_env = "PASSWORD"
    """.write(toFile: config, atomically: true, encoding: .utf8)
    try await harness.withWorker(
      handler: Handler { job, _ in
        if job.batch == "bad" { throw StageError.permanent("no") }
        if job.batch == "busy" { throw StageError.retry("503", afterMilliseconds: 3_600_000) }
        return nil
      }
    ) {
      for id in ["busy", "next", "bad"] {
        let account = id == "bad" ? "bolt" : "acme"
        _ = try await harness.run("enqueue", "--id", id, "--account", account, "A")
      }
      _ = try await harness.redis.cli("LPUSH", "batchd:enqueue", #"{"id":"odd","color":1}"#)
      await eventually("they are there") {
        try await harness.redis.cli("EXISTS", "batchd:rejected", "batchd:delayed", "batchd:failed")
          == "3"
      }
      _ = try await harness.redis.cli(
        ["ACL"] + ["SETUSER"]
          + acl.split(whereSeparator: \.isWhitespace).dropFirst().map(String.init))
      for words in [
        ["explain", "busy"], ["explain", "next"], ["explain", "bad"], ["explain", "odd"],
        ["explain", "operation:busy"], ["failed"],
      ] {
        let outcome = try await harness.command(
          words + ["--config", config], environment: ["PASSWORD": "CHANGE-THIS"]
        ).outcome()
        #expect(outcome.status == 0 && !outcome.output.isEmpty, "\(words): \(outcome)")
      }
    }
  }
}
