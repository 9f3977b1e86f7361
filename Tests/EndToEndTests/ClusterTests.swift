import Foundation
import Glibc
import Redis
import TestSupport
import Testing

extension ProcessTests {
  /// Workers on a Redis Cluster whose one slot that they use goes to another node while work is under way and more comes in.
  @Suite struct ClusterTests {
    private static let prefix = "{batchd}"

    /// kill -9 of the slot's primary: its replica is promoted.
    @Test func workersFollowAPromotedReplica() async throws {
      try await Self.with { cluster, workers, load in
        let old = try #require(await cluster.owner(of: Self.prefix))
        cluster.nodes[old].kill()
        load.expectNoReplica()
        let killed = ContinuousClock.now
        var owner: Int?
        await eventually(within: .seconds(20), "a replica is promoted") {
          owner = await cluster.owner(of: Self.prefix)
          return owner != nil
        }
        let new = cluster.nodes[try #require(owner)]
        let promoted = ContinuousClock.now
        let before = try await Self.claims(new)
        await eventually(within: .seconds(20), "work goes on") {
          try await Self.claims(new) > before
        }
        let resumed = ContinuousClock.now - promoted
        print(
          "cluster, killed: promoted after \(promoted - killed), work goes on \(resumed) after that"
        )
        #expect(resumed < .seconds(5))
        return true
      }
    }

    /// The slot is moved key by key, with the workers' calls in between.
    @Test func workersFollowTheSlotToAnotherNode() async throws {
      try await Self.with { cluster, workers, load in
        let source = try #require(await cluster.owner(of: Self.prefix))
        let target = try await cluster.otherPrimary(than: source)
        let began = ContinuousClock.now
        try FileManager.default.createDirectory(
          atPath: Self.spool(workers), withIntermediateDirectories: false)
        try await cluster.move(slotOf: Self.prefix, from: source, to: target) {
          try await Self.expectNothingHappens(cluster, source, workers)
          try await Self.expectPeopleAreTold(cluster, workers)
          try await Self.enqueue("midway", by: source, of: cluster)
        }
        let moved = ContinuousClock.now
        let before = try await Self.claims(cluster.nodes[target])
        await eventually(within: .seconds(20), "work goes on") {
          try await Self.claims(cluster.nodes[target]) > before
        }
        print(
          "cluster, moved: under way for \(moved - began), work goes on",
          "\(ContinuousClock.now - moved) after that")
        let other = cluster.ports.indices.first { $0 != source && $0 != target }!
        try await Self.enqueue("after", by: other, of: cluster)
        let delivery = try Self.command(
          ["enqueue", "--spool", Self.spool(workers)], cluster, workers)
        #expect(await delivery.exitStatus() == 0, "\(delivery.output)")
        for id in ["midway", "after", "kept"] {
          await eventually(within: .seconds(30), "\(id) has ended") {
            try await workers.hash("batch:\(id)")["status"] == "completed"
          }
        }
        return false
      }
    }

    /// Runs `body` while three workers, as the user of deploy/redis.acl, are in the middle of a load; all ends exact.
    /// - Parameter body: returns whether Redis may have forgotten something.
    private static func with(
      _ body: (TestCluster, TestWorkers, ClusterLoad) async throws -> Bool
    ) async throws {
      let user = try Site.documentedUser(password: Site.password)
        .map { $0.replacing("~batchd", with: "~\(prefix)") }
      let cluster = try await TestCluster(arguments: ["--appendonly", "yes", "--user"] + user)
      let place = TestWorkers.Place(
        redis: cluster.nodes[0], url: cluster.url,
        // One node is enough to find the others, as long as they live.
        workerURL: TestCluster.url([cluster.ports[0]], user: "batchd:\(Site.password)"),
        prefix: prefix)
      let settings = ["stage=persistence", "slots=8", "event_count=1000000"]
      try await TestWorkers.with(settings, place: place) { workers in
        var running: [Program] = []
        for name in ["w1", "w2", "w3"] { running.append(try await workers.start(name)) }
        let load = ClusterLoad(workers)
        let pushing = Task { await load.run() }
        await eventually(within: .seconds(30), "work is under way") {
          let leases = try await workers.client.call(["ZCARD", .text("\(prefix):leases")]).integer
          return try await load.ended() > 50 && leases ?? 0 > 3
        }
        let hasForgotten = try await body(cluster, workers, load)
        await eventually(within: .seconds(60), "all are accepted") {
          load.acceptedCount == ClusterLoad.count
        }
        pushing.cancel()
        await pushing.value
        let began = ContinuousClock.now
        await eventually(within: .seconds(60), "everything has ended") {
          let outbox = try await workers.client.call(["XLEN", .text("\(prefix):ended")]).integer
          return try await load.ended() == ClusterLoad.count && outbox == 0
        }
        print(
          "cluster: \(ClusterLoad.count) accepted, \(load.repeatCount) pushes repeated, all ended",
          "\(ContinuousClock.now - began) after the last")
        try await load.expectExact(hasForgotten: hasForgotten)
        for worker in running {
          #expect(worker.isRunning, "\(worker.output)")
          // What is refused for a while is waited for, and not given up.
          #expect(!worker.output.contains("cannot settle"), "\(worker.output)")
          #expect(!worker.output.contains("a beat failed"), "\(worker.output)")
          worker.send(SIGTERM)
          #expect(await worker.exitStatus(within: DrainTests.limit) == 0, "\(worker.output)")
        }
      }
    }

    /// No function runs while only some of the keys are there, and nobody asks in a tight loop.
    private static func expectNothingHappens(
      _ cluster: TestCluster, _ source: Int, _ workers: TestWorkers
    ) async throws {
      func calls() async throws -> Int {
        let line = try await cluster.nodes[source].cli("INFO", "stats").split(separator: "\r\n")
          .first { $0.hasPrefix("total_commands_processed:") }
        return Int(line?.split(separator: ":").last ?? "") ?? 0
      }
      let reply = try await cluster.nodes[source].cli("FCALL", "batchd_pause", "1", prefix, "all")
      #expect(reply.hasPrefix("ASK "), "\(reply)")
      let (before, start) = (try await calls(), ContinuousClock.now)
      try await Task.sleep(for: .seconds(3))
      let rate = Double(try await calls() - before) / ((ContinuousClock.now - start) / .seconds(1))
      print("cluster, moving: \(Int(rate)) commands a second from all")
      #expect(rate < 300)
    }

    private static func expectPeopleAreTold(
      _ cluster: TestCluster, _ workers: TestWorkers
    ) async throws {
      let status = try command(["status"], cluster, workers)
      #expect(await status.exitStatus() == 69)
      #expect(
        status.output.contains("its slot is being moved between nodes of the cluster"),
        "\(status.output)")
      let kept = try command(
        ["enqueue", "--spool", spool(workers), "--id", "kept"], cluster, workers)
      #expect(await kept.exitStatus() == 0, "\(kept.output)")
    }

    private static func spool(_ workers: TestWorkers) -> String { "\(workers.folder.path)/spool" }

    private static func command(
      _ words: [String], _ cluster: TestCluster, _ workers: TestWorkers
    ) throws -> Program {
      try Program(
        "batchd", words + ["--redis", cluster.url, "--prefix", prefix],
        output: "\(workers.folder.path)/command.out")
    }

    /// As people do, at any node.
    private static func enqueue(_ id: String, by number: Int, of cluster: TestCluster) async throws
    {
      let reply = try await cluster.nodes[number].shell(
        #"redis-cli -c -p \#(cluster.ports[number]) LPUSH '\#(prefix):enqueue' '{"id":"\#(id)"}'"#)
      #expect(Int(reply.dropLast()) ?? 0 > 0, "\(reply)")
    }

    /// The counter of fences: how many claims there were.
    private static func claims(_ redis: TestRedis) async throws -> Int {
      Int(try await redis.cli("HGET", "\(prefix):meta", "fence")) ?? 0
    }
  }
}
