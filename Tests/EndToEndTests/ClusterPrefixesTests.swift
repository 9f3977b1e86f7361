import Foundation
import Glibc
import Queue
import TestSupport
import Testing

extension ProcessTests {
  /// `batchd work` under three prefixes, each on a primary of a Redis Cluster of its own.
  @Suite struct ClusterPrefixesTests {
    private static let accounts = (1...30).map { "account-\($0)" }
    private static let batches = 10

    @Test func everyPrimaryHasItsShareAndOneThatDiesHoldsUpNoOther() async throws {
      let cluster = try await TestCluster(
        arguments: ["--appendonly", "yes", "--user"] + Self.user())
      let prefixes = Prefixes(try await Self.prefixes(of: cluster))
      let folder = try TestFolder()
      try Self.configuration(prefixes, cluster, folder)
      let workers = try ["1", "2"].map {
        try Self.batchd(["work", "--instance", $0], folder, "worker-\($0)")
      }
      try await Self.enqueue(folder)
      let shares = prefixes.names.map { name in
        Self.accounts.count { prefixes.home(of: $0) == name } * Self.batches
      }
      #expect(shares.allSatisfy { $0 >= 50 }, "\(shares)")
      await eventually(within: .seconds(60), "work is under way everywhere") {
        try await Self.completed(prefixes, cluster).allSatisfy { $0 ?? 0 > 5 }
      }

      let victim = try #require(await cluster.owner(of: prefixes.names[1]))
      cluster.nodes[victim].kill()
      let killed = ContinuousClock.now
      let before = try await Self.completed(prefixes, cluster)
      await eventually(within: .seconds(2), "the others go on before anybody is promoted") {
        let now = try await Self.completed(prefixes, cluster)
        return now[1] == nil && [0, 2].allSatisfy { now[$0] ?? 0 > (before[$0] ?? 0) + 5 }
      }
      let others = ContinuousClock.now - killed
      await eventually(within: .seconds(60), "all have ended") {
        try await Self.completed(prefixes, cluster) == shares
      }
      print(
        "three primaries: \(shares) batches; one killed, the others went on within \(others),",
        "all ended \(ContinuousClock.now - killed) after it")
      for worker in workers {
        #expect(worker.isRunning, "\(worker.output)")
        worker.send(SIGTERM)
        #expect(await worker.exitStatus(within: .seconds(20)) == 0, "\(worker.output)")
      }
      let status = try Self.batchd(["history", "--limit", "10000", "--json"], folder, "history")
      #expect(await status.exitStatus(within: .seconds(20)) == 0)
      let runs = try JSONDecoder().decode([Run].self, from: Data(status.output.utf8))
      #expect(Set(runs.map(\.batch)).count == Self.accounts.count * Self.batches)
      #expect(runs.allSatisfy { $0.status == "completed" && $0.retryCount == 0 })
    }

    /// The lease is of a Redis that is there: no deadline of its would end the wait for a gate whose Redis is away.
    @Test func aGateWhoseRedisIsAwayCostsNoAttempt() async throws {
      let cluster = try await TestCluster(
        arguments: ["--appendonly", "yes", "--cluster-require-full-coverage", "no", "--user"]
          + Self.user())
      let prefixes = Prefixes(try await Self.prefixes(of: cluster))
      let folder = try TestFolder()
      let gate = try #require(
        (0..<100).map { "g\($0)" }.first { prefixes.home(ofGate: $0) == prefixes.names[1] })
      try Self.configuration(
        prefixes, cluster, folder,
        more: "gate = \"\(gate)\"\ntimeout_ms = 8000\n[gates.\(gate)]\ninterval_ms = 10")
      let worker = try Self.batchd(["work"], folder, "worker")
      let home = prefixes.names[0]
      let owner = try #require(await cluster.owner(of: home))
      let account = try #require(Self.accounts.first { prefixes.home(of: $0) == home })
      await eventually(within: .seconds(20), "it has registered everywhere") {
        for name in prefixes.names {
          guard let owner = await cluster.owner(of: name),
            try await cluster.nodes[owner].cli("ZCARD", "\(name):workers") == "1"
          else { return false }
        }
        return true
      }
      let away = try #require(await cluster.owner(of: prefixes.names[1]))
      let gone = [away] + (try await cluster.replicas(of: away))
      for number in gone { cluster.nodes[number].kill() }
      let sent = try Self.batchd(["enqueue", "--id", "b", "--account", account], folder, "enqueue")
      #expect(await sent.exitStatus(within: .seconds(20)) == 0, "\(sent.output)")
      await eventually(within: .seconds(30), "it waits and says for what") {
        try await cluster.nodes[owner].cli("HGET", "\(home):batch:b", "error")
          .contains("waits for the Redis of the prefix \(prefixes.names[1])")
      }
      try await Self.expectTheOthersAreServed(prefixes, folder)
      let delivery = try Self.batchd(
        ["enqueue", "--spool", "\(folder.path)/spool"], folder, "delivery")
      await eventually(within: .seconds(10), "it waits") {
        delivery.output.contains("trying again")
      }
      for number in gone { try await cluster.nodes[number].start() }
      #expect(await delivery.exitStatus(within: .seconds(60)) == 0, "\(delivery.output)")
      await eventually(within: .seconds(60), "it has ended") {
        try await cluster.nodes[owner].cli("HGET", "\(home):batch:b", "status") == "completed"
      }
      let count = try await cluster.nodes[owner].cli("HGET", "\(home):batch:b", "retry_count")
      #expect(count == "0")
      worker.send(SIGTERM)
      #expect(await worker.exitStatus(within: .seconds(20)) == 0, "\(worker.output)")
    }

    /// The second prefix is away.
    private static func expectTheOthersAreServed(
      _ prefixes: Prefixes, _ folder: TestFolder
    ) async throws {
      func run(_ words: String...) async throws -> (status: Int32?, output: String) {
        let command = try batchd(words, folder, "command")
        return (await command.exitStatus(within: .seconds(20)), command.output)
      }
      let spool = "\(folder.path)/spool"
      try FileManager.default.createDirectory(atPath: spool, withIntermediateDirectories: false)
      for (number, name) in prefixes.names.enumerated() {
        let account = try #require(accounts.last { prefixes.home(of: $0) == name })
        let sent = try await run(
          "enqueue", "--spool", spool, "--id", "s\(number)", "--account", account)
        #expect(sent.status == 0 && sent.output.contains("kept in") == (number == 1), "\(sent)")
      }
      let explained = try await run("explain", "b")
      #expect(explained.status == 0 && explained.output.contains("under \(prefixes.names[0])"))
      let status = try await run("status")
      #expect(status.status == 69, "\(status)")
      #expect(
        status.output.contains("\(prefixes.names[0])  ")
          && status.output.contains("\(prefixes.names[2])  "))
      #expect(status.output.contains("batchd: \(prefixes.names[1]): "), "\(status)")
      #expect(try await run("explain", "nobody").status == 69)
      #expect(try await run("cancel", "nobody").status == 69)
      let metrics = try await run("metrics")
      #expect(metrics.output.contains(#"batchd_up{prefix="\#(prefixes.names[1])"} 0"#))
      #expect(metrics.output.contains(#"batchd_up{prefix="\#(prefixes.names[2])"} 1"#))
    }

    private struct Run: Decodable {
      let batch: String
      let status: String
      let retryCount: Int

      private enum CodingKeys: String, CodingKey {
        case batch, status
        case retryCount = "retry_count"
      }
    }

    /// The user of deploy/redis.acl, with the keys of every prefix.
    private static func user() throws -> [String] {
      try Site.documentedUser(password: Site.password).flatMap { word in
        word.contains("~batchd")
          ? (0..<64).map { word.replacing("~batchd", with: "~{p\($0)}") } : [word]
      }
    }

    /// One whose keys each primary has.
    private static func prefixes(of cluster: TestCluster) async throws -> [String] {
      var names: [Int: String] = [:]
      for number in 0..<64 where names.count < 3 {
        let owner = try #require(await cluster.owner(of: "{p\(number)}"))
        if names[owner] == nil { names[owner] = "{p\(number)}" }
      }
      return names.sorted { $0.key < $1.key }.map(\.value)
    }

    private static func configuration(
      _ prefixes: Prefixes, _ cluster: TestCluster, _ folder: TestFolder, more: String = ""
    ) throws {
      try """
      prefixes = ["\(prefixes.names.joined(separator: "\", \""))"]
      [redis]
      url = "\(cluster.url)"
      user = "batchd"
      password_env = "REDIS_PASSWORD"
      call_timeout_ms = 1000
      [store]
      path = "\(folder.path)/store.sqlite"
      [worker]
      lease_ms = 3000
      beat_ms = 500
      idle_beat_ms = 1000
      [pipelines.demo.extraction]
      handler = "exec"
      command = ["sleep", "0.1"]
      slots = 8
      \(more)
      """.write(toFile: "\(folder.path)/config.toml", atomically: true, encoding: .utf8)
    }

    private static func batchd(
      _ words: [String], _ folder: TestFolder, _ name: String, through: [String] = []
    ) throws -> Program {
      try Program(
        "batchd", words + ["--config", "\(folder.path)/config.toml"],
        output: "\(folder.path)/\(name).log", environment: ["REDIS_PASSWORD": Site.password],
        through: through)
    }

    /// The accounts in turn, all of one operation.
    private static func enqueue(_ folder: TestFolder) async throws {
      let entries = (1...batches).flatMap { number in
        accounts.map {
          #"{"id":"\#($0)-\#(number)","operation":"night","account":"\#($0)"}"# + "\n"
        }
      }
      let file = "\(folder.path)/entries.ndjson"
      try entries.joined().write(toFile: file, atomically: true, encoding: .utf8)
      let enqueue = try batchd(
        ["enqueue", "--raw"], folder, "enqueue",
        through: ["/bin/sh", "-c", "exec \"$@\" <\(file)", "sh"])
      #expect(await enqueue.exitStatus(within: .seconds(30)) == 0, "\(enqueue.output)")
    }

    /// How many batches have completed under each prefix; nil while its keys have no primary.
    private static func completed(
      _ prefixes: Prefixes, _ cluster: TestCluster
    ) async throws -> [Int?] {
      var counts: [Int?] = []
      for name in prefixes.names {
        guard let owner = await cluster.owner(of: name) else {
          counts.append(nil)
          continue
        }
        let text = try await cluster.nodes[owner].cli("HGET", "\(name):progress:night", "completed")
        counts.append(Int(text) ?? 0)
      }
      return counts
    }
  }
}
