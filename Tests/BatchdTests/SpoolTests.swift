import Foundation
import Glibc
import Pipeline
import TestSupport
import Testing

@testable import batchd

/// `enqueue --spool`, with a real Redis that goes away and comes back.
@Suite struct SpoolTests {
  private struct Site {
    let harness: CommandHarness
    let folder: String

    init() async throws {
      harness = try await CommandHarness(redisArguments: ["--appendonly", "yes"])
      folder = "\(harness.redis.folder)/spool"
      try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: false)
    }

    func enqueue(_ arguments: String..., input: String = "") async throws
      -> CommandHarness.Outcome
    {
      try await harness.start(["enqueue", "--spool", folder] + arguments, input: input).outcome()
    }

    var files: [String] {
      get throws { try FileManager.default.contentsOfDirectory(atPath: folder).sorted() }
    }

    /// The ids that wait in Redis, oldest first.
    func ids() async throws -> [String] {
      let entries = try await harness.redis.cli("LRANGE", "batchd:enqueue", "0", "-1")
      return try entries.split(separator: "\n").reversed().map {
        try JSON(parsing: $0.utf8)["id"]?.string ?? ""
      }
    }
  }

  @Test func whatIsKeptIsDeliveredFirstAndInOrder() async throws {
    let site = try await Site()
    site.harness.redis.kill()
    let first = try await site.enqueue("--id", "b1", "A")
    #expect(first.status == 0 && first.output == "b1\n", "\(first.complaint)")
    #expect(first.complaint.contains("1 batch is kept in \(site.folder)/"))
    #expect(first.complaint.contains("not checked: whether ids and pipelines are known"))
    let raw = #"{"id":"b2"}"# + "\n\n" + #" {"operation":"o", "payload":1e0}"#
    let second = try await site.enqueue("--raw", "--json", input: raw)
    let report = try JSON(parsing: second.output.utf8)
    #expect(report["spooled"]?.string?.hasPrefix("\(site.folder)/") == true)
    #expect(report["workers"] == nil)
    // A mistake is refused although Redis is away, and a rerun could run twice.
    #expect(try await site.enqueue("--raw", input: #"{"id":"x","itmes":[]}"#).status == 65)
    #expect(try await site.enqueue("--id", "x", "--payload", "{").status == 64)
    let rerun = try await site.enqueue("--id", "b1", "--rerun")
    #expect(rerun.status == 69 && rerun.complaint.contains("it would run twice"))
    #expect(try site.files.count == 2)

    try await site.harness.redis.start()
    let third = try await site.enqueue("--id", "b3", "--json")
    #expect(third.status == 0)
    #expect(try JSON(parsing: third.output.utf8)["spooled"] == nil)
    let ids = try await site.ids()
    #expect(ids.count == 4 && ids[0] == "b1" && ids[1] == "b2" && ids[3] == "b3")
    #expect(ids[2].hasPrefix("o-"))
    let entry = try await site.harness.redis.cli("LINDEX", "batchd:enqueue", "1")
    #expect(entry == #" {"id":"\#(ids[2])","operation":"o", "payload":1e0}"#)
    #expect(try site.files == [])
  }

  @Test func deliveryWaitsForRedisAndCtrlCKeepsTheRest() async throws {
    let site = try await Site()
    site.harness.redis.kill()
    // With nothing to deliver there is nothing to wait for.
    let idle = try await site.enqueue()
    #expect(idle.output == "delivered 0 batches from \(site.folder)\n")
    for id in ["b1", "b2"] { #expect(try await site.enqueue("--id", id).status == 0) }
    let stopped = try site.harness.start(["enqueue", "--spool", site.folder])
    let waiting = try site.harness.start(["enqueue", "--spool", site.folder, "--json"])
    for command in [stopped, waiting] {
      await eventually("it waits") { try command.complaint.contains("2 files wait in") }
    }
    stopped.interrupt()
    #expect(try await stopped.outcome().status == 130)
    #expect(try site.files.count == 2)
    try await site.harness.redis.start()
    let outcome = try await waiting.outcome()
    #expect(outcome.status == 0 && outcome.output == #"{"bad":[],"delivered":2}"# + "\n")
    #expect(try await site.ids() == ["b1", "b2"])
  }

  /// A crash between the push and the removal leaves the file: what it holds comes twice, and runs once.
  /// Who may keep batches need not be one who may read Redis's password.
  @Test func aPasswordThatThisUserMayNotReadKeepsToo() async throws {
    let site = try await Site()
    let file = "\(site.harness.redis.folder)/config.toml"
    try """
    [redis]
    url = "\(site.harness.redis.url)"
    password_file = "\(site.harness.redis.folder)/nowhere"
    """.write(toFile: file, atomically: true, encoding: .utf8)
    let kept = try await site.harness.command(
      ["enqueue", "--spool", site.folder, "--config", file, "--id", "b1"]
    ).outcome()
    #expect(kept.status == 0 && kept.output == "b1\n", "\(kept.complaint)")
    #expect(kept.complaint.contains("nowhere"))
    #expect(kept.complaint.contains("1 batch is kept in \(site.folder)/"))
    let delivery = try await site.harness.command(
      ["enqueue", "--spool", site.folder, "--config", file]
    ).outcome()
    #expect(delivery.status == 78, "\(delivery.complaint)")
    #expect(try await site.enqueue().status == 0)
    #expect(try await site.ids() == ["b1"])
  }

  @Test func whatIsDeliveredTwiceIsADuplicate() async throws {
    let site = try await Site()
    site.harness.redis.kill()
    #expect(try await site.enqueue("--id", "b1", "--operation", "o").status == 0)
    #expect(try await site.enqueue("--raw", input: #"{"operation":"o"}"#).status == 0)
    let copies = try site.files.map {
      ($0, try Data(contentsOf: URL(filePath: "\(site.folder)/\($0)")))
    }
    try await site.harness.redis.start()
    try await site.harness.withWorker(handler: Handler { _, _ in nil }) {
      #expect(try await site.enqueue().output.hasPrefix("delivered 2 batches"))
      await eventually("both have run") {
        try await site.harness.redis.cli("HGET", "batchd:progress:o", "completed") == "2"
      }
      for (name, data) in copies { try data.write(to: URL(filePath: "\(site.folder)/\(name)")) }
      #expect(try await site.enqueue().output.hasPrefix("delivered 2 batches"))
      await eventually("they are counted") {
        try await site.harness.redis.cli("HGET", "batchd:stats", "duplicates") == "2"
      }
      #expect(try await site.harness.redis.cli("HGET", "batchd:progress:o", "total") == "2")
    }
  }

  /// Killed again and again in the middle: everything arrives, in order but for what came twice.
  @Test func nothingIsLostWhoeverIsKilled() async throws {
    let site = try await Site()
    let all = (10_000..<13_000).map { "b\($0)" }
    for id in all {
      try Data("{\"id\":\"\(id)\"}\n".utf8)
        .write(to: URL(filePath: "\(site.folder)/\(id.dropFirst()).batches"))
    }
    var kills = 0
    for _ in 0..<4 {
      let before = try site.files.count
      let command = try site.harness.start(["enqueue", "--spool", site.folder])
      await eventually("it delivers") { try site.files.count < before }
      command.kill()
      _ = try await command.outcome()
      if try !site.files.isEmpty { kills += 1 }
    }
    #expect(kills > 0)
    #expect(try await site.enqueue().status == 0)
    var seen: Set<String> = []
    let firsts = try await site.ids().filter { seen.insert($0).inserted }
    #expect(firsts == all)
    #expect(try site.files == [])
  }

  @Test func twoAtOnceWriteAndDeliverInTurn() async throws {
    let site = try await Site()
    site.harness.redis.kill()
    let writers = try (0..<8).map {
      try site.harness.start(["enqueue", "--spool", site.folder, "--id", "b\($0)"])
    }
    for writer in writers { #expect(try await writer.outcome().status == 0) }
    #expect(try site.files.count == 8)
    try await site.harness.redis.start()
    let both = try (0..<2).map { _ in
      try site.harness.start(["enqueue", "--spool", site.folder, "--json"])
    }
    var delivered = 0
    for command in both {
      let report = try JSON(parsing: try await command.outcome().output.utf8)
      if case .integer(let count)? = report["delivered"] { delivered += Int(count) }
    }
    #expect(delivered == 8)
    #expect(Set(try await site.ids()) == Set((0..<8).map { "b\($0)" }))
  }

  @Test func aFileThatHoldsNoBatchIsNamedAndStays() async throws {
    let site = try await Site()
    func write(_ name: String, _ text: String) throws {
      try Data(text.utf8).write(to: URL(filePath: "\(site.folder)/\(name)"))
    }
    try write("1.batches", #"{"id":"b1"}"#)
    try write("2.batches", "{\"id\":\"b2\"}\n{\"id\":\u{7}")
    try write("3.batches", #"{"id":"b3"}"#)
    try write("notes.txt", "mine")
    let outcome = try await site.enqueue()
    #expect(outcome.status == 65)
    #expect(outcome.output == "delivered 2 batches from \(site.folder)\n")
    #expect(
      outcome.complaint.hasPrefix(
        "batchd: \(site.folder)/2.batches.bad was not delivered: line 2: entry: not JSON"))
    #expect(try await site.ids() == ["b1", "b3"])
    #expect(try site.files == ["2.batches.bad", "notes.txt"])
  }

  @Test func whatCannotBeReadStaysInItsPlace() async throws {
    let site = try await Site()
    try Data(#"{"id":"b1"}"#.utf8).write(to: URL(filePath: "\(site.folder)/1.batches"))
    // A read of it fails whoever asks, root too.
    try FileManager.default.createDirectory(
      atPath: "\(site.folder)/2.batches", withIntermediateDirectories: false)
    try Data(#"{"id":"b3"}"#.utf8).write(to: URL(filePath: "\(site.folder)/3.batches"))
    let outcome = try await site.enqueue()
    #expect(outcome.status == 66, "\(outcome.complaint)")
    #expect(outcome.complaint.contains("cannot read \(site.folder)/2.batches"))
    #expect(try await site.ids() == ["b1"])
    #expect(try site.files == ["2.batches", "3.batches"])
  }

  @Test func whatCannotBeSetAsideIsAnError() async throws {
    let site = try await Site()
    try Data("no batch".utf8).write(to: URL(filePath: "\(site.folder)/1.batches"))
    try FileManager.default.createDirectory(
      atPath: "\(site.folder)/1.batches.bad", withIntermediateDirectories: false)
    let outcome = try await site.enqueue()
    #expect(outcome.status == 69)
    #expect(outcome.complaint.contains("cannot be renamed: Is a directory"))
    #expect(try site.files == ["1.batches", "1.batches.bad"])
  }

  @Test func namesOfOthersAreInNobodysWay() async throws {
    let site = try await Site()
    site.harness.redis.kill()
    try Data(#"{"id":"b2"}"#.utf8)
      .write(to: URL(filePath: "\(site.folder)/9223372036854775807.batches"))
    let kept = try await site.enqueue("--id", "b1")
    #expect(kept.status == 0, "\(kept.complaint)")
    // The last name of ours: the next one would be out of order.
    try Data(#"{"id":"b3"}"#.utf8)
      .write(to: URL(filePath: "\(site.folder)/999999999999999999.batches"))
    let late = try await site.enqueue("--id", "b4")
    #expect(late.status == 69 && late.complaint.contains("no name comes after"))
    #expect(try site.files.count == 3)
  }

  @Test func manyAreKeptInFilesThatCanBeRead() async throws {
    let folder = try TemporaryFolder()
    let mask = umask(0o077)
    defer { umask(mask) }
    let paths = try Spool(folder.path).keep(
      ["{1}", "{2}", "{3}", "{456789}"].map { Array($0.utf8) }, byteLimit: 8)
    #expect(try Spool(folder.path).files() == paths)
    let texts = try paths.map { try String(contentsOf: URL(filePath: $0), encoding: .utf8) }
    #expect(texts == ["{1}\n{2}\n", "{3}\n", "{456789}\n"])
    for path in paths {
      let mode = try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions]
      #expect(mode as? Int == 0o640)
    }
  }

  @Test func aRerunWhoseAnswerIsLostMayBeEnqueued() async throws {
    let site = try await Site()
    let config = "\(site.harness.redis.folder)/batchd.toml"
    try "[redis]\ncall_timeout_ms = 1000\n".write(
      toFile: config, atomically: true, encoding: .utf8)
    _ = try await site.harness.redis.cli("CLIENT", "PAUSE", "60000", "WRITE")
    let rerun = try await site.enqueue("--id", "b1", "--rerun", "--config", config)
    #expect(rerun.status == 69, "\(rerun.complaint)")
    #expect(rerun.complaint.contains("whether it was enqueued nobody knows"), "\(rerun.complaint)")
    #expect(try site.files == [])
  }

  @Test func aFolderThatCannotKeepIsAnError() async throws {
    let site = try await Site()
    let missing = try await site.harness.run("enqueue", "--spool", "/nowhere", "--id", "b1")
    #expect(missing.status == 69)
    #expect(missing.complaint.contains("No such file or directory; make it: mkdir"))
    #expect(try await site.ids() == [])
    site.harness.redis.kill()
    // As a full disk: no byte may be written.
    let full = try await site.harness.redis.shell(
      "(ulimit -f 0; trap '' XFSZ; '\(RunningCommand.binary.path)' enqueue --spool '\(site.folder)'"
        + " --id b1 --redis '\(site.harness.redis.url)' 2>&1 >/dev/null; echo $?) | cat")
    #expect(full.contains("File too large; nothing was enqueued") && full.hasSuffix("69\n"))
    #expect(try site.files == [])
  }
}
