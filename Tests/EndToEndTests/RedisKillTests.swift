import Foundation
import Glibc
import Redis
import TestSupport
import Testing

extension ProcessTests {
  /// Redis killed and started again, over and over, with work under way and more coming in.
  @Suite struct RedisKillTests {
    private static let cycles =
      ProcessInfo.processInfo.environment["BATCHD_LONG"] == "1" ? 100 : 5

    @Test(arguments: ["always", "everysec"])
    func nothingIsLostDoubledOrChargedThroughKillsOfRedis(appendfsync: String) async throws {
      var settings = Site.Settings(accounts: 8, jobs: 28)
      settings.interval = 10
      settings.redisArguments = ["--appendonly", "yes", "--appendfsync", appendfsync]
      try await Site.with(settings) { site in
        let workers = try ["1", "2", "3"].map { try site.worker($0) }
        for worker in workers {
          await eventually("it runs") { worker.output.contains("worker started") }
        }
        let load = Load(site)
        let busy = try await withThrowingTaskGroup(of: Int.self) { group in
          group.addTask {
            await load.run(every: .milliseconds(60))
            return 0
          }
          group.addTask { try await Self.killAndStart(site) }
          let busy = try await group.next() ?? 0
          group.cancelAll()
          return busy
        }
        try await load.complete()
        let start = ContinuousClock.now
        #expect(await load.settle(within: .seconds(60)) == [], "accepted and lost")
        print(
          "Redis killed \(Self.cycles) times (\(appendfsync)), with work under way \(busy) times:",
          "\(load.accepted.count) batches, all ended \(ContinuousClock.now - start) later")
        #expect(busy > Self.cycles / 2)
        try await load.expectExact(site)
        Load.expectFencesAreUnique([try await QueueEvent.all(site.client)])
        for worker in workers {
          #expect(worker.isRunning, "\(worker.output)")
          worker.send(SIGTERM)
          #expect(await worker.exitStatus(within: DrainTests.limit) == 0)
        }
      }
    }

    /// - Returns: how often leases were held when Redis died.
    private static func killAndStart(_ site: Site) async throws -> Int {
      var busy = 0
      for cycle in 1...cycles {
        let ended = try await ends(site)
        await eventually(within: .seconds(30), "cycle \(cycle): work goes on") {
          try await ends(site) > ended
        }
        try await Task.sleep(for: .milliseconds(Int.random(in: 0...300)))
        if try await site.client.call(["ZCARD", "batchd:leases"]).integer ?? 0 > 0 { busy += 1 }
        site.redis.kill()
        try await Task.sleep(for: .milliseconds(Int.random(in: 0...400)))
        try await site.redis.start()
      }
      return busy
    }

    private static func ends(_ site: Site) async throws -> Int {
      try await site.client.call(
        ["HGET", "batchd:stats", "completed"], timeoutMilliseconds: 20_000
      ).text.flatMap { Int($0) } ?? 0
    }
  }
}
