import Foundation
import Glibc
import Simulators
import TestSupport
import Testing

extension ProcessTests {
  /// Redis away: for a while under running workers, and while workers start and stop.
  @Suite struct OutageTests {
    enum End: CaseIterable { case terminated, killed }

    /// Ten seconds are more than three leases.
    @Test(arguments: End.allCases) func workersOutliveTenSecondsWithoutRedis(_ end: End)
      async throws
    {
      var settings = Site.Settings(accounts: 6, jobs: 38)
      settings.redisArguments = ["--appendonly", "yes"]
      settings.interval = 100
      try await Site.with(settings) { site in
        let workers = [try site.worker("1"), try site.worker("2")]
        try await Self.enqueueAll(site)
        await eventually(within: .seconds(30), "a quarter is fetched") {
          Int(try await site.hash("progress:o1")["items_done"] ?? "") ?? 0 > 60
        }
        let before = try await Snapshot.take(site.client)
        switch end {
        case .terminated: await site.redis.stop()
        case .killed: site.redis.kill()
        }
        try await Task.sleep(for: .seconds(10))
        try await site.redis.start()
        let back = ContinuousClock.now
        await eventually(within: .seconds(20), "work goes on") {
          try await Snapshot.take(site.client).checkpointed.count > before.checkpointed.count
        }
        print("Redis \(end): work goes on \(ContinuousClock.now - back) after it came back")
        await site.waitForEnd(of: ["o1"], within: .seconds(60))
        try await Self.expectNothingLostOrCharged(site, checkpointed: before)
        for worker in workers {
          #expect(worker.isRunning, "\(worker.output)")
          worker.send(SIGTERM)
          #expect(await worker.exitStatus(within: DrainTests.limit) == 0)
        }
      }
    }

    /// The work of a worker that was told to stop while nobody could take it back: it ends by itself,
    /// and the batch goes on uncharged when Redis is there again.
    @Test func aWorkerToldToStopWithoutRedisEndsByItself() async throws {
      var settings = Site.Settings(jobs: 38)
      settings.redisArguments = ["--appendonly", "yes"]
      settings.interval = 100
      settings.worker = "lease_ms = 3000\nbeat_ms = 500\ndrain_ms = 2000"
      try await Site.with(settings) { site in
        let account = site.world.accounts[0]
        let first = try site.worker("1")
        try await site.enqueue(
          "b1", operation: "o1", account: account.name, items: account.jobs.map(\.uuid))
        await eventually("it works") {
          Int(try await site.hash("progress:o1")["items_done"] ?? "") ?? 0 > 5
        }
        let before = try await Snapshot.take(site.client)
        await site.redis.stop()
        let sent = ContinuousClock.now
        first.send(SIGTERM)
        let status = await first.exitStatus(within: .seconds(12))
        print("SIGTERM without Redis: status \(status ?? -1) after \(ContinuousClock.now - sent)")
        #expect(status != nil, "\(first.output)")
        await first.killNow()
        try await site.redis.start()
        let heir = try site.worker("1")
        await site.waitForEnd(of: ["o1"], within: .seconds(30))
        try await Self.expectNothingLostOrCharged(site, checkpointed: before)
        heir.send(SIGTERM)
        #expect(await heir.exitStatus(within: DrainTests.limit) == 0)
      }
    }

    /// Nothing is at stake, so nothing is waited for: with running work it would be the drain limit, 8 s here.
    @Test func anIdleWorkerToldToStopWithoutRedisLeavesAtOnce() async throws {
      try await Site.with(Site.Settings(jobs: 8)) { site in
        let worker = try site.worker("1")
        await eventually("the worker runs") { worker.output.contains("worker started") }
        site.redis.kill()
        await eventually("it knows") { worker.output.contains("no connection to Redis") }
        let sent = ContinuousClock.now
        worker.send(SIGTERM)
        let status = await worker.exitStatus(within: .seconds(12))
        let took = ContinuousClock.now - sent
        print("SIGTERM to an idle worker without Redis: status \(status ?? -1) after \(took)")
        #expect(status == 0, "\(worker.output)")
        #expect(took < .seconds(4))
      }
    }

    @Test func aWorkerStartedWithoutRedisWaitsAndThenWorks() async throws {
      var settings = Site.Settings(jobs: 8)
      settings.redisArguments = ["--appendonly", "yes"]
      try await Site.with(settings) { site in
        let account = site.world.accounts[0]
        try await site.enqueue(
          "b1", operation: "o1", account: account.name, items: account.jobs.map(\.uuid))
        await site.redis.stop()
        let impatient = try site.worker("1")
        let patient = try site.worker("2")
        for worker in [impatient, patient] {
          await eventually("it says what it waits for") {
            worker.output.contains("no connection to Redis")
          }
        }
        impatient.send(SIGTERM)
        #expect(await impatient.exitStatus(within: DrainTests.limit) == 0, "\(impatient.output)")
        try await site.redis.start()
        await site.waitForEnd(of: ["o1"], within: .seconds(30))
        #expect(patient.isRunning)
        try site.expectRowsAreRight()
      }
    }

    private static func enqueueAll(_ site: Site) async throws {
      for start in stride(from: 0, to: 40, by: 10) {
        for account in site.world.accounts where !account.jobs.isEmpty {
          try await site.enqueue(
            "b-\(account.name)-\(start)", operation: "o1", account: account.name,
            items: account.jobs[start..<start + 10].map(\.uuid))
        }
      }
    }

    static func expectNothingLostOrCharged(
      _ site: Site, checkpointed before: Snapshot
    ) async throws {
      let after = try await Snapshot.take(site.client)
      #expect(after.problems == [])
      #expect(Set(before.checkpointed).isSubset(of: after.checkpointed))
      for id in Set(after.checkpointed.map { String($0.prefix { $0 != "/" }) }) {
        let batch = try await site.hash("batch:\(id)")
        #expect(batch["retry_count"] == "0", "\(id)")
        #expect(["completed", "completed_with_errors"].contains(batch["status"]), "\(id)")
      }
      let events = try await QueueEvent.all(site.client)
      let charges = events.filter { ["crashed", "retrying"].contains($0.name) }
      #expect(charges.isEmpty, "\(charges)")
      for arrival in try site.arrivals() where arrival.milliseconds > before.milliseconds {
        let isKept = before.checkpointed.contains { $0.hasSuffix("/\(arrival.uuid)") }
        #expect(!isKept, "\(arrival) is fetched again")
      }
      try site.expectRowsAreRight()
    }
  }
}
