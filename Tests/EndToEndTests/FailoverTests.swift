import Foundation
import Glibc
import Redis
import Simulators
import TestSupport
import Testing

extension ProcessTests {
  /// Workers that find their Redis by Sentinels, which replace it while work is under way and more comes in.
  @Suite struct FailoverTests {
    enum Kind: String {
      /// SENTINEL FAILOVER: the old primary lives, and takes writes until it is made a replica.
      case ordered
      /// kill -9 of the primary.
      case killed
      /// kill -9 of the primary two seconds after its last word to the replicas.
      case lagging
    }

    private static let kinds: [Kind] =
      [.ordered, .lagging]
      + (ProcessInfo.processInfo.environment["BATCHD_LONG"] == "1" ? [.killed] : [])

    @Test(arguments: kinds) func workersFollowTheNewPrimary(_ kind: Kind) async throws {
      let port = try freePort()
      let sentinels = try TestSentinels.freePorts()
      var settings = Site.Settings(accounts: 8, jobs: 28)
      settings.interval = 10
      settings.redisArguments =
        TestSentinels.arguments(port: port)
        + ["--appendonly", "yes", "--user", "copier", "on", ">pw", "~*", "&*", "+@all"]
      settings.workerURL = TestSentinels.url(sentinels)
      settings.clientURL = settings.workerURL
      try await Site.with(settings) { site in
        let service = try await TestSentinels(
          primary: site.redis, port: port, sentinelPorts: sentinels,
          arguments: ["--masteruser", "copier", "--masterauth", "pw", "--user"]
            + ["copier", "on", ">pw", "~*", "&*", "+@all", "--user"]
            + Site.documentedUser(password: Site.password))
        let workers = try ["1", "2", "3"].map { try site.worker($0) }
        for worker in workers {
          await eventually("it runs") { worker.output.contains("worker started") }
        }
        let load = Load(site)
        let pushing = Task { await load.run(every: .milliseconds(40)) }
        await eventually(within: .seconds(30), "work is under way") {
          Int(try await site.hash("stats")["completed"] ?? "") ?? 0 > 10
        }
        let remembered = try await Self.replace(kind, service, site)
        let primary = try #require(await service.newPrimary(after: 0, alone: false))
        let promoted = ContinuousClock.now
        let before = try await Self.claims(service.servers[primary])
        await eventually(within: .seconds(20), "work goes on") {
          try await Self.claims(service.servers[primary]) > before
        }
        let resumed = ContinuousClock.now - promoted
        pushing.cancel()
        await pushing.value
        let absent = await load.settle(within: .seconds(60))
        print(
          "failover, \(kind): work goes on \(resumed) after the promotion, all ended after",
          "\(ContinuousClock.now - promoted); of \(load.accepted.count) accepted \(absent.count) are absent"
        )
        #expect(resumed < .seconds(5))
        // One lives on beside the new one for ten seconds: what it takes in the one until it is left is lost.
        if kind == .ordered { #expect(absent.count < 60) }
        if kind == .lagging { #expect(!absent.isEmpty, "the lag must have cost something") }
        try await RollbackTests.expectNoTrace(of: absent, site)
        try await load.complete(absent)
        #expect(await load.settle(within: .seconds(60)) == [])
        try await load.expectExact(site, hasForgotten: true)
        let old = try await remembered(service)
        Load.expectFencesAreUnique([old, try await QueueEvent.all(site.client)])
        for worker in workers {
          #expect(worker.isRunning, "\(worker.output)")
          worker.send(SIGTERM)
          #expect(await worker.exitStatus(within: DrainTests.limit) == 0, "\(worker.output)")
        }
      }
    }

    /// Has the primary replaced.
    /// - Returns: what tells, once all is over, the events that the old primary remembers.
    private static func replace(
      _ kind: Kind, _ service: TestSentinels, _ site: Site
    ) async throws -> (TestSentinels) async throws -> [QueueEvent] {
      switch kind {
      case .ordered:
        let events = try await QueueEvent.all(site.client)
        try await service.failOver()
        return { _ in events }
      case .lagging:
        // From here on no replica hears anything: their user is gone.
        _ = try await site.redis.cli("ACL", "DELUSER", "copier")
        try await Task.sleep(for: .seconds(2))
      case .killed: break
      }
      site.redis.kill()
      return { service in
        for number in 0..<3 { service.killSentinel(number) }
        try await site.redis.start()
        return try await QueueEvent.all(of: site.redis)
      }
    }

    /// The counter of fences: how many claims there were.
    private static func claims(_ redis: TestRedis) async throws -> Int {
      Int(try await redis.cli("HGET", "batchd:meta", "fence")) ?? 0
    }
  }
}
