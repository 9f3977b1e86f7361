import Foundation
import GRDB
import Glibc
import Pipeline
import Redis
import Simulators
import TestSupport
import Testing

extension ProcessTests {
  /// A bad way between the workers and a Redis that is well.
  @Suite struct PartitionTests {
    /// From when on nothing may be done under a lease of 3 s that was renewed at 0: less a tenth, and the 50 ms
    /// in which a worker's warden looks, twice, for a machine that others use too. Redis gives the work away at 3000.
    private static let deadlineMilliseconds = 2_700 + 100

    static let faults: [FaultyProxy.Fault] =
      [.delay(milliseconds: 5_000), .deafClient]
      + (ProcessInfo.processInfo.environment["BATCHD_LONG"] == "1"
        ? [.trickle, .deafServer, .drop, .cut] : [])

    /// Two workers are under way when their way to Redis goes bad for longer than a lease.
    ///
    /// No request arrives and no row is written later than the local deadline of the last renewal that can have
    /// been sent, that of the moment before the fault. After the healing everything ends within 5 s, uncharged, with
    /// the rows of a clean run.
    @Test(arguments: faults)
    func nothingIsDoneAfterTheDeadlineAndAllSoonAfterTheHealing(_ fault: FaultyProxy.Fault)
      async throws
    {
      let folder = try TestFolder()
      var settings = Site.Settings(accounts: 10, jobs: 13)
      settings.interval = 40
      settings.workerURL = "unix://\(folder.path)/way"
      settings.worker += "\ngate_margin_ms = 40"
      try await Site.with(settings) { site in
        let proxy = try FaultyProxy(at: "\(folder.path)/way", to: site.redis.socketPath)
        let workers = [try site.worker("1"), try site.worker("2")]
        try await Self.enqueueAll(site)
        await eventually(within: .seconds(30), "they are in the middle of it") {
          Int(try await site.hash("progress:o1")["items_done"] ?? "") ?? 0 > 70
        }
        let before = try await Snapshot.take(site.client)
        #expect(try await site.client.call(["ZCARD", "batchd:leases"]).integer ?? 0 > 3)
        let broken = Date.now
        proxy.set(fault)
        try await Task.sleep(for: .milliseconds(4_500))
        let last = try Self.lastAct(site, after: broken)
        proxy.set(.none)
        let healed = ContinuousClock.now
        await site.waitForEnd(of: ["o1"], within: .seconds(60))
        let drained = ContinuousClock.now - healed
        print(
          "\(fault): last act \(Int(last)) ms after it began, drained \(drained) after it ended,",
          "\(proxy.counts)")
        #expect(last < Double(Self.deadlineMilliseconds))
        #expect(drained < .seconds(5))
        let counts = proxy.counts
        #expect(counts.swallowedBytes + counts.delayedPieces + counts.cutConnections > 0)
        try await OutageTests.expectNothingLostOrCharged(site, checkpointed: before)
        for worker in workers {
          worker.send(SIGTERM)
          #expect(await worker.exitStatus(within: DrainTests.limit) == 0, "\(worker.output)")
        }
      }
    }

    /// The hardest act to hold back: a write that waits inside SQLite for the lock while the lease ends. Nobody has
    /// raised a greater fence, for nobody reaches Redis: the fence would still let it pass.
    @Test func aWriteThatWaitedForTheStoreIsNotMadeAfterTheDeadline() async throws {
      let folder = try TestFolder()
      var settings = Site.Settings(jobs: 38)
      settings.interval = 1
      settings.workerURL = "unix://\(folder.path)/way"
      try await Site.with(settings) { site in
        let proxy = try FaultyProxy(at: "\(folder.path)/way", to: site.redis.socketPath)
        let account = site.world.accounts[0]
        let worker = try site.worker("1")
        await eventually("the worker runs") { worker.output.contains("worker started") }
        var unsafe = Configuration()
        unsafe.allowsUnsafeTransactions = true
        let store = try DatabaseQueue(path: site.storePath, configuration: unsafe)
        try await store.writeWithoutTransaction { try $0.execute(sql: "BEGIN IMMEDIATE") }
        try await site.enqueue("b1", account: account.name, items: account.jobs.map(\.uuid))
        await eventually(within: .seconds(30), "persistence waits for the store") {
          let batch = try await site.hash("batch:b1")
          return batch["stage"] == "persistence" && batch["place"] == "batchd:leases"
        }
        let before = try await Snapshot.take(site.client)
        proxy.set(.drop)
        try await Task.sleep(for: .milliseconds(Self.deadlineMilliseconds + 200))
        try await store.writeWithoutTransaction { try $0.execute(sql: "COMMIT") }
        try await Task.sleep(for: .seconds(1))
        #expect(
          try site.rows("SELECT (SELECT count(*) FROM jobs), (SELECT count(*) FROM batches)") == [
            "0|0"
          ])
        proxy.set(.none)
        let healed = ContinuousClock.now
        await site.waitForEnd(of: ["b1"], within: .seconds(60))
        let drained = ContinuousClock.now - healed
        print("a write held back: drained \(drained) after the healing, \(proxy.counts)")
        #expect(drained < .seconds(5))
        #expect(proxy.counts.swallowedBytes > 0)
        try await OutageTests.expectNothingLostOrCharged(site, checkpointed: before)
        worker.send(SIGTERM)
        #expect(await worker.exitStatus(within: DrainTests.limit) == 0, "\(worker.output)")
      }
    }

    private static func enqueueAll(_ site: Site) async throws {
      for account in site.world.accounts where !account.jobs.isEmpty {
        for start in stride(from: 0, to: account.jobs.count, by: 10) {
          try await site.enqueue(
            "b-\(account.name)-\(start)", operation: "o1", account: account.name,
            items: account.jobs[start..<min(start + 10, account.jobs.count)].map(\.uuid))
        }
      }
    }

    /// When the last request arrived or row was written after `moment`, in milliseconds since then. All clocks are
    /// this host's.
    private static func lastAct(_ site: Site, after moment: Date) throws -> Double {
      let start = moment.timeIntervalSince1970 * 1_000
      let requests = try site.arrivals().map { Double($0.milliseconds) }
      let writes = try site.rows(
        "SELECT max(updated_at) FROM (SELECT updated_at FROM jobs UNION ALL SELECT updated_at FROM batches)"
      ).compactMap { Timestamp(rfc3339: $0).map { Double($0.milliseconds) } }
      return ((requests + writes).max() ?? 0) - start
    }
  }
}
