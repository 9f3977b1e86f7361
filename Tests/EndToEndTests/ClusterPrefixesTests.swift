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
      _ prefixes: Prefixes, _ cluster: TestCluster, _ folder: TestFolder
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
