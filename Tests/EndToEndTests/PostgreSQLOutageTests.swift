import Foundation
import Simulators
import TestSupport
import Testing

extension ProcessTests {
  /// Workers on a PostgreSQL server that goes away and comes back, while they are killed at random.
  @Suite struct PostgreSQLOutageTests {
    private static let isLong = ProcessInfo.processInfo.environment["BATCHD_LONG"] == "1"
    private static let rounds = isLong ? 5 : 1
    private static let itemCount = 5

    @Test func everyBatchIsInTheHistoryOnceAndNobodyIsChargedForTheServer() async throws {
      let server = try await TestPostgreSQL()
      var settings = Site.Settings(accounts: 8, jobs: Self.rounds * 80)
      settings.storeURL = try await server.database("results")
      settings.interval = 100
      // Whoever is killed this often at random is no poison; that rule has a test of its own.
      settings.worker = """
        lease_ms = 3000
        beat_ms = 500
        idle_beat_ms = 1000
        max_crashes = 1000
        """
      try await Site.with(settings) { site in
        let pushed = try await Self.pushAll(site)
        let kills = RandomKills(workerCount: 4, seed: 1) { try site.worker($0) }
        let killed = try await withThrowingTaskGroup(of: Int.self) { group in
          group.addTask { try await kills.run() }
          for _ in 1...Self.rounds {
            try await Self.outage(of: server, site) { server.stop(immediately: true) }
            try await Self.outage(of: server, site) { server.kill() }
          }
          await site.waitForEnd(of: ["o1"], within: .seconds(180))
          group.cancelAll()
          return try await group.reduce(0, +)
        }
        try await kills.stop()
        #expect(killed > 5)
        try await Self.expectAllIsRight(site, server, pushed: pushed)
        print("PostgreSQL: \(pushed) batches, \(killed) kills, \(2 * Self.rounds) outages")
      }
    }

    /// - Returns: how many batches have every living job of the world in them once.
    private static func pushAll(_ site: Site) async throws -> Int {
      var count = 0
      for account in site.world.accounts {
        let items = account.jobs.filter { $0.state != "deleted" }.map(\.uuid)
        for start in stride(from: 0, to: items.count, by: itemCount) {
          count += 1
          try await site.enqueue(
            "b\(count)", operation: "o1", account: account.name,
            items: items[start..<min(start + itemCount, items.count)])
        }
      }
      return count
    }

    /// Once work goes on: takes the server away, until batches have met that, and brings it back.
    private static func outage(
      of server: TestPostgreSQL, _ site: Site, _ end: () -> Void
    ) async throws {
      let earlier = try await completed(site)
      await eventually(within: .seconds(60), "batches end") {
        try await completed(site) >= earlier + 8
      }
      let before = try await waits(site)
      end()
      await eventually(within: .seconds(60), "batches wait for the server") {
        try await waits(site) >= before + 4
      }
      try await server.start()
    }

    private static func completed(_ site: Site) async throws -> Int {
      Int(try await site.hash("stats")["completed"] ?? "") ?? 0
    }

    private static func waits(_ site: Site) async throws -> Int {
      try await QueueEvent.all(site.client).count {
        $0.name == "snoozed" && $0.reason.contains("PostgreSQL, the database results")
      }
    }

    private static func expectAllIsRight(
      _ site: Site, _ server: TestPostgreSQL, pushed: Int
    ) async throws {
      #expect(try await Snapshot.take(site.client).problems == [])
      let events = try await QueueEvent.all(site.client)
      #expect(!events.contains { $0.name == "retrying" })
      #expect(events.contains { $0.name == "crashed" }, "no kill met any work")
      let history = try await server.sql(
        """
        SELECT count(*), count(DISTINCT batch), count(*) FILTER (WHERE status = 'completed'),
          sum(retry_count) FROM batch_processing_data
        """, in: "results")
      #expect(history == "\(pushed)|\(pushed)|\(pushed)|0")
      let unfinished = try await server.sql(
        "SELECT count(*) FROM batches WHERE finished_at IS NULL", in: "results")
      #expect(unfinished == "0")
      let rows = try await server.sql("SELECT account, uuid, document FROM jobs", in: "results")
      try site.expectAreRight(rows.split(separator: "\n").map(String.init))
    }
  }
}
