import Foundation
import Pipeline
import Stores
import TestSupport
import Testing

@testable import Queue
@testable import batchd

/// What `batchd doctor` says of rights, secrets and stores.
@Suite struct DoctorHostTests {
  private static var documentedUser: String {
    get throws {
      let file = URL(filePath: #filePath).deletingLastPathComponent()
        .appending(path: "../../deploy/redis.acl").standardizedFileURL
      return try String(contentsOf: file, encoding: .utf8)
    }
  }

  @Test func everyRightOfTheDocumentedUserIsAskedForAndNoOther() throws {
    let given = try Self.documentedUser.split(whereSeparator: \.isWhitespace)
      .filter { $0.hasPrefix("+") }.map { String($0.dropFirst()) }
    #expect(Set(Control.neededCommands.map { $0[0] }) == Set(given))
    #expect(Control.neededCommands.count == given.count)
  }

  @Test func missingRightsAreNamedWithTheCommandThatGivesThem() async throws {
    let harness = try await CommandHarness(redisArguments: ["--appendonly", "yes"])
    try await harness.withWorker(handler: .init { _, _ in nil }, {})
    let user = try Self.documentedUser.replacing("CHANGE-THIS", with: "secret")
      .split(whereSeparator: \.isWhitespace).dropFirst().map(String.init)
    func setUser(_ words: [String]) async throws {
      #expect(try await harness.redis.cli(["ACL", "SETUSER"] + words) == "OK")
    }
    func doctor() async throws -> CommandHarness.Outcome {
      let url = harness.redis.url.replacing("unix://", with: "unix://batchd:secret@")
      return try await harness.command(["doctor", "--redis", url]).outcome()
    }
    try await setUser(user)
    let fine = try await doctor()
    #expect(fine.status == 0 && fine.output.contains("user batchd has them all"), "\(fine.output)")

    try await setUser(["batchd", "-xadd", "-function|load", "-zrangebyscore"])
    let commands = try await doctor()
    let remedy = "remedy: ACL SETUSER batchd +function|load +xadd +zrangebyscore, and in the ACL"
    #expect(commands.status == 1 && commands.output.contains(remedy), "\(commands.output)")
    try await setUser(["batchd", "+function|load", "+xadd", "+zrangebyscore"])
    try await setUser(["batchd", "resetkeys", "~batchd:*"])
    let keys = try await doctor()
    #expect(keys.output.contains("ACL SETUSER batchd ~batchd ~batchd:*, and"), "\(keys.output)")
    try await setUser(["batchd", "~batchd"])

    try await setUser(["batchd", "-acl|dryrun"])
    let unknown = try await doctor()
    #expect(unknown.status == 0, "\(unknown.output)")
    #expect(unknown.output.contains("note: this user may not ask for its own rights"))
  }

  /// Who is on no cluster needs no right for one.
  @Test func whatOnlyAClusterNeedsIsLookedForWithAPrefixInBraces() async throws {
    let harness = try await CommandHarness(redisArguments: ["--appendonly", "yes"])
    let user = try Self.documentedUser.replacing("CHANGE-THIS", with: "secret")
      .split(whereSeparator: \.isWhitespace).dropFirst().map(String.init)
    let words = ["~{batchd}", "~{batchd}:*", "-cluster|slots"]
    #expect(try await harness.redis.cli(["ACL", "SETUSER"] + user + words) == "OK")
    func doctor(_ options: String...) async throws -> String {
      let url = harness.redis.url.replacing("unix://", with: "unix://batchd:secret@")
      return try await harness.command(["doctor", "--redis", url] + options).outcome().output
    }
    let plain = try await doctor()
    #expect(plain.contains("user batchd has them all"), "\(plain)")
    _ = try await harness.redis.cli("SET", "{batchd}", "x")
    let braces = try await doctor("--prefix", "{batchd}")
    #expect(braces.contains("ACL SETUSER batchd +cluster|slots, and"), "\(braces)")
    #expect(braces.contains("a key is named as the prefix, {batchd}"), "\(braces)")
    #expect(braces.contains("remedy: DEL {batchd}"), "\(braces)")
  }

  /// Redis reads its append-only file as the user default, and skips what that may not write.
  @Test func aRedisThatWouldNotReadItsOwnFileIsNamed() async throws {
    let harness = try await CommandHarness(redisArguments: ["--appendonly", "yes"])
    let user = try Self.documentedUser.replacing("CHANGE-THIS", with: "secret")
      .split(whereSeparator: \.isWhitespace).dropFirst().map(String.init)
    #expect(try await harness.redis.cli(["ACL", "SETUSER"] + user) == "OK")
    let url = harness.redis.url.replacing("unix://", with: "unix://batchd:secret@")
    func doctor() async throws -> String {
      try await harness.command(["doctor", "--redis", url]).outcome().output
    }
    #expect(try await !doctor().contains("at its next start"))
    // As an administrator would shut everybody out; +acl only so that this test can go on.
    _ = try await harness.redis.cli("ACL", "SETUSER", "default", "-@all", "+acl", "+ping")
    let found = try await doctor()
    #expect(found.contains("would throw away most of batchd's data at its next start"), "\(found)")
    #expect(found.contains("remedy: ACL SETUSER default off ~* &* +@all"), "\(found)")
    _ = try await harness.redis.cli("ACL", "SETUSER", "default", "+@all")
    #expect(try await !doctor().contains("at its next start"))
  }

  @Test func secretsThatAreMissingOrOpenToAllAreNamed() async throws {
    let harness = try await CommandHarness(redisArguments: ["--appendonly", "yes"])
    try await harness.withWorker(handler: .init { _, _ in nil }, {})
    let folder = try TemporaryFolder()
    func mode(_ name: String, _ mode: Int) throws {
      try FileManager.default.setAttributes(
        [.posixPermissions: mode], ofItemAtPath: "\(folder.path)/\(name)")
    }
    for (name, permissions) in [("right", 0o640), ("open", 0o644)] {
      try folder.write("t", to: name)
      try mode(name, permissions)
    }
    let config = try folder.write(
      """
      [redis]
      url = "\(harness.redis.url)"
      [store]
      path = "\(harness.redis.folder)/store.sqlite"
      [accounts.right]
      token_file = "right"
      [accounts.open]
      token_file = "open"
      [accounts.none]
      token_file = "none"
      [accounts.unit]
      token_credential = "unit"
      """, to: "config.toml")
    func doctor() async throws -> CommandHarness.Outcome {
      try await harness.command(["doctor", "--config", config]).outcome()
    }
    let hidden = try await doctor()
    #expect(hidden.status == 1 && !hidden.output.contains("accounts.open"), "\(hidden.output)")
    try mode("", 0o755)
    let shown = try await doctor()
    for words in [
      "accounts.none has no secret here: file \(folder.path)/none: No such file",
      "remedy: put it there as one line",
      "accounts.open can be read or changed by every user of this host: \(folder.path)/open",
      "remedy: chmod o= \(folder.path)/open",
      "note: accounts.unit: the systemd credential unit is the worker's own",
      "4 accounts, 0 others", "\n2 findings\n",
    ] { #expect(shown.output.contains(words), "\(words) in\n\(shown.output)") }
    #expect(!shown.output.contains("accounts.right"))
    try mode("open", 0o600)
    try folder.write("t", to: "none")
    try mode("none", 0o600)
    let mended = try await doctor()
    #expect(mended.status == 0, "\(mended.output)")
  }

  @Test func theStoreIsLookedAtAndNotTouched() async throws {
    let harness = try await CommandHarness(redisArguments: ["--appendonly", "yes"])
    try await harness.withWorker(handler: .init { _, _ in nil }, {})
    let folder = try TemporaryFolder()
    let store = "\(folder.path)/s 100%?.sqlite"
    let config = try folder.write(
      """
      [redis]
      url = "\(harness.redis.url)"
      [store]
      path = "\(store)"
      """, to: "config.toml")
    func doctor() async throws -> CommandHarness.Outcome {
      try await harness.command(["doctor", "--config", config]).outcome()
    }
    let absent = try await doctor()
    #expect(absent.status == 0 && absent.output.contains("there is none at"), "\(absent.output)")
    let made = try await SQLiteStore(path: store)
    let identity = try await made.identity()
    try await made.close()
    _ = try await harness.redis.cli("HSET", "batchd:store", "identity", identity)
    let names = try FileManager.default.contentsOfDirectory(atPath: folder.path).sorted()
    let bytes = FileManager.default.contents(atPath: store)
    let found = try await doctor()
    #expect(found.status == 0, "\(found.output)")
    #expect(found.output.contains("\(store): schema 2, "), "\(found.output)")
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path).sorted() == names)
    #expect(FileManager.default.contents(atPath: store) == bytes)
    _ = try await harness.redis.cli("HSET", "batchd:store", "identity", "elsewhere")
    let other = try await doctor()
    #expect(other.status == 1 && other.output.contains("results go to store elsewhere"))
    // On a host without workers its absence says nothing; under one of this host it does.
    try FileManager.default.removeItem(atPath: store)
    let elsewhere = try await doctor()
    #expect(elsewhere.status == 0 && elsewhere.output.contains("there is none at"))
    _ = try await harness.redis.cli("DEL", "batchd:store")
    try await harness.withWorker(handler: .init { _, _ in nil }) {
      let host = ProcessInfo.processInfo.hostName
      _ = try await harness.redis.cli("HSET", "batchd:worker:w1", "host", host)
      let gone = try await doctor()
      #expect(gone.status == 1, "\(gone.output)")
      #expect(
        gone.output.contains("\(store) is not there, and worker w1 of this host writes to it"))
    }
  }

  /// Its files are written anew beside the old ones: the disk needs as much again.
  @Test func theDiskOfARedisOnThisHostIsLookedAt() async throws {
    let harness = try await CommandHarness()
    var info: [String: String] = [:]
    for line in try await harness.redis.cli("INFO").split(whereSeparator: \.isNewline) {
      let parts = line.split(separator: ":", maxSplits: 1).map(String.init)
      if parts.count == 2 { info[parts[0]] = parts[1] }
    }
    #expect(RedisDisk.findings(info, url: harness.redis.url).isEmpty)
    info["used_memory"] = "\(1 << 60)"
    #expect(RedisDisk.findings(info, url: harness.redis.url).count == 1)
    #expect(RedisDisk.findings(info, url: "redis://db.example.com").isEmpty)
    // What has that number here is another program.
    info["process_id"] = "\(ProcessInfo.processInfo.processIdentifier)"
    #expect(RedisDisk.findings(info, url: harness.redis.url).isEmpty)
  }

  /// The quick ones of doctor's checks stand in the log of a worker that starts.
  @Test func aWorkerThatStartsWarnsOfWhatIsWrong() async throws {
    let harness = try await CommandHarness()
    let folder = try TemporaryFolder()
    try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: folder.path)
    try folder.write("t", to: "token")
    let config = try folder.write(
      """
      [redis]
      url = "\(harness.redis.url)"
      [store]
      path = "own.sqlite"
      [accounts.acme]
      token_file = "token"
      """, to: "config.toml")
    let work = try harness.command(["work", "--config", config])
    await eventually(within: .seconds(20), "the worker has warned") {
      let log = try work.complaint
      return log.contains("keeps no append-only file") && log.contains("CONFIG SET appendonly yes")
        && log.contains("accounts.acme can be read or changed by every user")
    }
    work.interrupt()
    #expect(try await work.outcome().status == 0)
  }
}
