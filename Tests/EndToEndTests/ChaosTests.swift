import Foundation
import Simulators
import TestSupport
import Testing

extension ProcessTests {
  /// Four workers that are killed at random while the service fails one request in ten.
  @Suite struct ChaosTests {
    private static let interval = 30

    private static var seeds: [UInt64] {
      ProcessInfo.processInfo.environment["BATCHD_LONG"] == "1" ? [1, 2, 3] : [1]
    }

    /// 200 batches of 10 over 20 accounts. An account has 98 jobs and 2 deleted ones.
    ///
    /// No completed item is fetched twice: from the instant at which a sample finds an item in
    /// `batchd:items:ID:extraction` or `batchd:errors:ID`, no request for it reaches the simulator. A kill
    /// between the simulator's answer and the checkpoint loses that answer, so each `crashed` event of a
    /// batch in extraction (one request is in flight per batch) excuses one answer that decided over an
    /// item and was asked for again. Nothing else does.
    @Test(arguments: seeds) func everyBatchEndsRightWhoeverIsKilled(seed: UInt64) async throws {
      try await Site.with(Self.settings(seed)) { site in
        let operations = try await Self.enqueueAll(site)
        let watch = Watch()
        let kills = RandomKills(workerCount: 4, seed: seed) { try site.worker($0) }
        let killed = try await withThrowingTaskGroup(of: Int.self) { group in
          group.addTask { try await watch.run(site.client) }
          group.addTask { try await kills.run() }
          await site.waitForEnd(of: operations, within: .seconds(280))
          group.cancelAll()
          return try await group.reduce(0, +)
        }
        try await kills.stop()
        let seen = watch.seen
        print("chaos, seed \(seed): \(killed) kills, \(seen.samples) samples")
        #expect(seen.problems == [])
        #expect(seen.samples > 100 && killed > 20)
        let events = try await QueueEvent.all(site.client)
        try Self.checkArrivals(site, events, checkpointed: seen.checkpointed)
        Self.checkLanes(events)
        try await Self.checkEnds(site, operations)
      }
    }

    private static func settings(_ seed: UInt64) -> Site.Settings {
      var settings = Site.Settings(accounts: 20, jobs: 98)
      settings.interval = interval
      settings.simulator.seed = seed
      settings.simulator.limit = .strict
      settings.simulator.intervalMilliseconds = interval
      settings.simulator.faults = 0.1
      settings.simulator.latencyMilliseconds = 5
      // The margin is what the delays of requests may differ by. All processes share two processors
      // here, with others, and a process may wait for one for tens of milliseconds.
      // Whoever is killed this often at random is no poison; that rule has a test of its own.
      settings.worker = """
        lease_ms = 3000
        beat_ms = 500
        idle_beat_ms = 1000
        gate_margin_ms = 100
        max_crashes = 20
        """
      return settings
    }

    /// - Returns: the operations, whose batches are mixed over all accounts.
    private static func enqueueAll(_ site: Site) async throws -> [String] {
      for number in 0..<10 {
        for account in site.world.accounts where !account.jobs.isEmpty {
          try await site.enqueue(
            "\(account.name)-\(number)", operation: "o\(number % 4)", account: account.name,
            items: account.jobs[number * 10..<number * 10 + 10].map(\.uuid))
        }
      }
      return (0..<4).map { "o\($0)" }
    }

    private static func checkArrivals(
      _ site: Site, _ events: [QueueEvent], checkpointed: [String: Int64]
    ) throws {
      let arrivals = try site.arrivals()
      let gaps = arrivals.compactMap(\.gapMilliseconds)
      let early = gaps.filter { $0 < Double(interval) }
      #expect(early.isEmpty, "gaps under \(interval) ms: \(early)")
      var batchOf: [String: String] = [:]
      for key in checkpointed.keys {
        let parts = key.split(separator: "/").map(String.init)
        batchOf["\(parts[0].prefix { $0 != "-" })/\(parts[1])"] = parts[0]
      }
      var answers: [String: Int] = [:]
      for arrival in arrivals {
        let batch = try #require(batchOf["\(arrival.account)/\(arrival.uuid)"])
        let key = "\(batch)/\(arrival.uuid)"
        let isLate = arrival.milliseconds > checkpointed[key]!
        #expect(!isLate, "\(key) is fetched after its checkpoint")
        if arrival.settles { answers[key, default: 0] += 1 }
      }
      #expect(answers.count == 2_000)
      var lost: [String: Int] = [:]
      for (key, count) in answers where count > 1 {
        lost[String(key.prefix { $0 != "/" }), default: 0] += count - 1
      }
      var excused: [String: Int] = [:]
      for event in events where event.name == "crashed" && event.stage == "extraction" {
        excused[event.batch, default: 0] += 1
      }
      for (batch, count) in lost { #expect(count <= excused[batch, default: 0], "\(batch)") }
      print(
        "chaos: \(arrivals.count) requests, least gap \(gaps.min() ?? 0) ms,",
        "\(lost.values.reduce(0, +)) answers lost by \(excused.values.reduce(0, +)) crashes")
    }

    /// One batch of an account under way at a time, from its first claim to its end, in the order of
    /// admission (which is not quite that of the pushes: four workers admit at once).
    private static func checkLanes(_ events: [QueueEvent]) {
      var current: [Substring: String] = [:]
      var admitted: [Substring: [String]] = [:]
      var begun: [Substring: [String]] = [:]
      for event in events {
        let account = event.batch.prefix { $0 != "-" }
        switch event.name {
        case "admitted": admitted[account, default: []].append(event.batch)
        case "claimed":
          if current[account] == nil { begun[account, default: []].append(event.batch) }
          #expect(current[account] ?? event.batch == event.batch)
          current[account] = event.batch
        case "ended": current[account] = nil
        default: break
        }
      }
      #expect(begun.values.map(\.count) == [Int](repeating: 10, count: 20))
      #expect(begun == admitted)
    }

    private static func checkEnds(_ site: Site, _ operations: [String]) async throws {
      var totals: [String: Int] = [:]
      for operation in operations {
        for (field, value) in try await site.hash("progress:\(operation)") {
          if let number = Int(value) { totals[field, default: 0] += number }
        }
      }
      #expect(totals["total"] == 200)
      #expect(totals["completed"]! + totals["completed_with_errors"]! == 200)
      #expect(totals["items_done"] == 1_960)
      #expect(totals["items_failed"] == 40, "two deleted jobs of each account")
      try site.expectRowsAreRight()
      let history = try site.rows(
        "SELECT count(*), sum(completed_items), sum(failed_items) FROM batch_processing_data")
      #expect(history == ["200|1960|40"])
    }
  }
}
