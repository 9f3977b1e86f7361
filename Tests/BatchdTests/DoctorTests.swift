import Foundation
import Pipeline
import TestSupport
import Testing
import Worker

/// `batchd doctor` on a real Redis in which a hand has been.
@Suite struct DoctorTests {
  private struct Report: Decodable {
    struct Finding: Decodable {
      let key, member, problem, remedy: String
      let isRepaired: Bool
    }
    let keys, aside: Int
    let findings: [Finding]

    func finds(_ key: String, _ member: String = "", _ problem: String) -> Bool {
      findings.contains {
        $0.key == "batchd:\(key)" && $0.member == member && $0.problem.contains(problem)
      }
    }
  }

  /// What is broken: the commands, then key, member and words of the finding. No list mentions any of it.
  private static let broken: [(write: [String], key: String, member: String, problem: String)] = [
    (["SET batchd:lane:demo:far x"], "lane:demo:far", "", "is a string where a list belongs"),
    (["HSET batchd:batch:half status pending"], "batch:half", "", "it has no operation"),
    (
      ["HSET batchd:batch:waits place batchd:nowhere"], "batch:waits", "",
      "has the place \"batchd:nowhere\""
    ),
    (
      [
        "HSET batchd:batch:runs status processing place batchd:leases fence 1-1",
        "LREM batchd:queue:demo:setup 0 runs",
      ], "batch:runs", "", "has no entry in batchd:leases"
    ),
    (["ZREM batchd:operations lonely"], "batch:lonely", "", "tick never looks at it"),
    (["HINCRBY batchd:progress:done total 5"], "progress:done", "", "its counts are not those"),
    (["ZADD batchd:leases 9000000000000 ghost"], "leases", "ghost", "which is no batch"),
    (["ZADD batchd:delayed inf later"], "delayed", "later", "which is no batch"),
    (["HSET batchd:lanes demo:acme nobody"], "lanes", "demo:acme", "does not live in it"),
    (
      [#"SET batchd:input:lost '{"id":"lost"}'"#], "input:lost", "",
      "belongs to batch lost, whose record is gone"
    ),
    (["HSET batchd:output:old setup x"], "output:old", "", "whose record is gone"),
    (
      ["HSET batchd:batch:\(String(repeating: "x", count: 200)) a b"],
      "batch:\(String(repeating: "x", count: 200))", "", "is the record of no batch"
    ),
    ([#"HSET "batchd:batch:nul\x00" a b"#], "batch:nul\0", "", "is the record of no batch"),
  ]

  private static let arguments = ["--appendonly", "yes", "--enable-debug-command", "yes"]

  private static func doctor(_ harness: CommandHarness, _ options: String...) async throws
    -> (status: Int32, report: Report)
  {
    let outcome = try await harness.start(["doctor", "--json"] + options).outcome()
    let decoder = JSONDecoder()
    decoder.keyDecodingStrategy = .convertFromSnakeCase
    do {
      return (outcome.status, try decoder.decode(Report.self, from: Data(outcome.output.utf8)))
    } catch {
      Issue.record("\(outcome.output) \(outcome.complaint)")
      throw error
    }
  }

  @Test func findsAllShowsTheRemedyAndMendsWhenAsked() async throws {
    let harness = try await CommandHarness(redisArguments: Self.arguments)
    try await harness.withWorker(handler: .init { _, _ in nil }) {
      #expect(try await harness.run("enqueue", "--id", "done", "--wait").status == 0)
      #expect(try await harness.run("pause", "all").status == 0)
      for id in ["waits", "runs", "lonely"] { _ = try await harness.run("enqueue", "--id", id) }
      await eventually("all are admitted") {
        try await harness.redis.cli("HGET", "batchd:stats", "admitted") == "4"
      }
    }
    let healthy = try await Self.doctor(harness)
    #expect(healthy.status == 0 && healthy.report.keys > 10, "\(healthy.report.findings)")

    let writes = Self.broken.flatMap(\.write).joined(separator: "\n")
    let answers = try await harness.redis.shell("rcli <<'END'\n\(writes)\nEND")
    #expect(!answers.contains("ERR"), "\(answers)")
    let before = try await harness.redis.cli("DEBUG", "DIGEST")
    let (status, shown) = try await Self.doctor(harness)
    #expect(status == 1)
    #expect(try await harness.redis.cli("DEBUG", "DIGEST") == before, "looking changes nothing")
    for one in Self.broken {
      #expect(shown.finds(one.key, one.member, one.problem), "\(one.key) in \(shown.findings)")
    }
    #expect(shown.findings.allSatisfy { !$0.isRepaired && !$0.remedy.isEmpty })

    let (repaired, report) = try await Self.doctor(harness, "--repair")
    #expect(repaired == 0)
    #expect(report.findings.count >= Self.broken.count && report.findings.allSatisfy(\.isRepaired))
    let after = try await Self.doctor(harness)
    #expect(after.status == 0 && after.report.findings.isEmpty, "\(after.report.findings)")
    #expect(after.report.aside == 4)
    let failed = try await harness.redis.cli("HMGET", "batchd:batch:half", "status", "error")
    #expect(failed.hasPrefix("failed\nbroken record: it has no operation"))
    #expect(try await harness.redis.cli("HGET", "batchd:progress:done", "total") == "1")

    // Its lease is an earlier worker's, who would be given half a minute to renew it.
    let isDue = try await harness.redis.cli("ZADD", "batchd:leases", "CH", "1", "runs")
    #expect(isDue == "1")
    try await harness.withWorker(handler: .init { _, _ in nil }) {
      let resumed = try await harness.run("resume", "all")
      #expect(resumed.status == 0)
      await eventually(within: .seconds(30), "all end") {
        var ended = 0
        for id in ["waits", "lonely", "lost", "runs"] {
          let status = try await harness.redis.cli("HGET", "batchd:batch:\(id)", "status")
          ended += status == "completed" ? 1 : 0
        }
        return ended == 4
      }
    }
    print("doctor: \(Self.broken.count) kinds of broken records found and repaired")
  }

  /// A record is looked at again once it was mended: another fault may have stood behind the first.
  @Test func oneRepairMendsWhatStandsBehindAnotherFault() async throws {
    let harness = try await CommandHarness(redisArguments: Self.arguments)
    try await harness.withWorker(handler: .init { _, _ in nil }) {
      #expect(try await harness.run("pause", "all").status == 0)
      _ = try await harness.run("enqueue", "--id", "two")
      await eventually("it is admitted") {
        try await harness.redis.cli("HGET", "batchd:stats", "admitted") == "1"
      }
    }
    _ = try await harness.redis.cli("HSET", "batchd:batch:two", "place", "batchd:nowhere")
    _ = try await harness.redis.cli("ZREM", "batchd:operations", "two")
    let (status, report) = try await Self.doctor(harness, "--repair")
    #expect(status == 0 && report.findings.allSatisfy(\.isRepaired))
    #expect(report.finds("batch:two", "", "tick never looks at it"))
    #expect(report.finds("batch:two", "", "has the place \"batchd:nowhere\""))
    let after = try await Self.doctor(harness)
    #expect(after.status == 0 && after.report.findings.isEmpty, "\(after.report.findings)")
  }

  /// What moves is no orphan: a walk beside running work finds nothing to repair.
  @Test func repairsNothingOfRunningWork() async throws {
    let harness = try await CommandHarness(redisArguments: Self.arguments)
    let handler = Handler { job, _ in
      if job.attempt == 1, job.batch.hasSuffix("5") {
        throw StageError.retry("again", afterMilliseconds: 50)
      }
      return nil
    }
    try await harness.withWorker(handler: handler) {
      let envelopes = (0..<120).map {
        #"{"id":"b\#($0)","operation":"o\#($0 % 7)","account":"a\#($0 % 20)","items":["A"]}"#
      }
      #expect(
        try await harness.run("enqueue", "--raw", input: envelopes.joined(separator: "\n")).status
          == 0)
      var walks = 0
      var ended = 0
      let limit = ContinuousClock.now + .seconds(60)
      while walks < 3 || ended < 120 && ContinuousClock.now < limit {
        let (status, report) = try await Self.doctor(harness, "--repair")
        #expect(status == 0 && report.findings.isEmpty, "\(report.findings)")
        walks += 1
        ended = Int(try await harness.redis.cli("HGET", "batchd:stats", "completed")) ?? 0
      }
      print("doctor: \(walks) walks beside running work, nothing to repair")
      #expect(try await harness.redis.cli("HGET", "batchd:stats", "completed") == "120")
      #expect(try await harness.redis.cli("HEXISTS", "batchd:stats", "doctored") == "0")
      #expect(try await harness.redis.cli("HEXISTS", "batchd:stats", "broken") == "0")
    }
  }

  @Test func tellsWhatIsWrongWithRedis() async throws {
    let harness = try await CommandHarness()
    let empty = try await harness.run("doctor")
    #expect(empty.status == 1)
    #expect(empty.output.contains("functions are not loaded\n    remedy: start a worker"))
    #expect(empty.output.contains("keeps no append-only file"))
    #expect(try await harness.redis.cli("FUNCTION", "LIST") == "", "looking loads nothing")
    try await harness.withWorker(handler: .init { _, _ in nil }, {})
    for (name, value) in [("maxmemory", "2000000"), ("maxmemory-policy", "allkeys-lru")] {
      _ = try await harness.redis.cli("CONFIG", "SET", name, value)
    }
    let outcome = try await harness.run("doctor")
    #expect(outcome.status == 1)
    for words in ["maxmemory-policy allkeys-lru", "CONFIG SET appendonly yes", "new entries wait"] {
      #expect(outcome.output.contains(words), "\(words) in \(outcome.output)")
    }
    for (name, value) in [
      ("maxmemory", "0"), ("maxmemory-policy", "noeviction"), ("appendonly", "yes"),
    ] { _ = try await harness.redis.cli("CONFIG", "SET", name, value) }
    // What was evicted may be all that a worker ever wrote.
    try await harness.withWorker("w2", handler: .init { _, _ in nil }, {})
    await eventually("nothing is wrong any more") {
      let outcome = try await harness.run("doctor")
      return outcome.status == 0 && outcome.output.hasSuffix("nothing is wrong\n")
    }
  }

  /// A store that cannot be used is what is wrong, and no reason to look at nothing else.
  @Test func aStoreThatCannotBeUsedIsAFinding() async throws {
    let harness = try await CommandHarness()
    let folder = try TemporaryFolder()
    let store = try folder.write("no database", to: "store.sqlite")
    let config = try folder.write(
      """
      [redis]
      url = "\(harness.redis.url)"
      [store]
      path = "\(store)"
      """, to: "config.toml")
    let outcome = try await harness.command(["doctor", "--config", config]).outcome()
    #expect(outcome.status == 1, "\(outcome.complaint)")
    #expect(outcome.output.contains("store \(store): file is not a database"), "\(outcome.output)")
    #expect(outcome.output.contains("keeps no append-only file"))
    #expect(outcome.output.hasSuffix("\n3 findings\n"), "\(outcome.output)")
  }

  /// Redis says neither which key it is nor what to do.
  @Test func whoMeetsAKeyOfTheWrongTypeIsSentToTheDoctor() async throws {
    let harness = try await CommandHarness(redisArguments: Self.arguments)
    try await harness.withWorker(handler: .init { _, _ in nil }, {})
    _ = try await harness.redis.cli("SET", "batchd:delayed", "x")
    let status = try await harness.run("status")
    #expect(status.status == 69)
    #expect(
      status.complaint.contains("batchd doctor --repair sets it aside"), "\(status.complaint)")
    let (code, report) = try await Self.doctor(harness, "--repair")
    #expect(code == 0 && report.finds("delayed", "", "is a string where a zset belongs"))
    let after = try await harness.run("status")
    #expect(after.status == 0, "\(after.complaint)")
  }

  /// A disk that is full: then Redis refuses even PING, and people need to be told.
  @Test func aRedisThatCannotWriteIsAFindingAndCanBeLookedAt() async throws {
    let harness = try await CommandHarness()
    try await harness.withWorker(handler: .init { _, _ in nil }, {})
    // A snapshot cannot take the place of a folder.
    try FileManager.default.createDirectory(
      atPath: "\(harness.redis.folder)/dump.rdb", withIntermediateDirectories: false)
    _ = try await harness.redis.cli("CONFIG", "SET", "save", "3600 1")
    _ = try await harness.redis.cli("BGSAVE")
    await eventually("writes are refused") {
      try await harness.redis.cli("SET", "x", "y").hasPrefix("MISCONF")
    }
    let outcome = try await harness.run("doctor")
    #expect(outcome.status == 1, "\(outcome.complaint)")
    #expect(outcome.output.contains("could not write its last snapshot"), "\(outcome.output)")
    let status = try await harness.run("status")
    #expect(status.status == 0, "\(status.complaint)")
  }

  @Test func aPasswordThatIsMissingOrWrongIsNoQuestionOfTheAddress() async throws {
    let harness = try await CommandHarness()
    _ = try await harness.redis.cli("CONFIG", "SET", "requirepass", "right")
    let missing = try await harness.run("doctor")
    #expect(missing.status == 77 && missing.complaint.contains("NOAUTH"), "\(missing.complaint)")
    let url = harness.redis.url.replacing("unix://", with: "unix://default:wrong@")
    let wrong = try await harness.command(["status", "--redis", url]).outcome()
    #expect(wrong.status == 77 && wrong.complaint.contains("WRONGPASS"), "\(wrong.complaint)")
    #expect(!(missing.complaint + wrong.complaint).contains("is it running"))
  }
}
