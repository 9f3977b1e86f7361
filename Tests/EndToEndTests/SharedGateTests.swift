import Foundation
import Redis
import Simulators
import TestSupport
import Testing

@testable import enum TestSupport.ChildProcess

extension ProcessTests {
  /// RELIABILITY, row 12: sixteen workers, whose clocks differ by up to twenty minutes, share one account's limit while
  /// Redis's clock steps by an hour either way. The service's own arrival log tells.
  @Suite struct SharedGateTests {
    private static let isLong = ProcessInfo.processInfo.environment["BATCHD_LONG"] == "1"
    private static let interval = 400
    private static let margin = 14 * Pace.slowness
    private static let workers = 16
    /// Requests between two steps of Redis's clock, and how far ahead it is then, in seconds.
    private static let requests = isLong ? 60 : 11
    private static let shifts = isLong ? [3_600, 0, -3_600, 0, 3_600, 0] : [3_600, 0]

    /// What a round came to.
    private struct Round {
      /// Of the limit, 1 for a request each interval.
      var use = 0.0
      /// Gaps under the interval, in milliseconds: the machine stopped a request between its permission and its arrival.
      var near: [Double] = []

      /// A permission that the machine let pass is 3 % of so few: what the protocol loses, it loses in each round.
      var isAsItShould: Bool { use >= 0.95 && near.isEmpty }
    }

    @Test func sixteenWorkersKeepOneInterval() async throws {
      var last = Round()
      var count = 0
      while !last.isAsItShould, count < (Pace.isJudged ? 6 : 1) {
        count += 1
        last = try await Self.round()
      }
      if Pace.isJudged { #expect(last.isAsItShould, "\(last)") }
    }

    private static func round() async throws -> Round {
      var outcome = Round()
      let clocks = try await ShiftedClocks()
      try clocks.set("redis", seconds: 0)
      let first = await Self.preference()
      var settings = Site.Settings(jobs: Self.requests * (Self.shifts.count + 1))
      settings.simulator.intervalMilliseconds = Self.interval
      settings.redisThrough = first + clocks.through("redis")
      settings.simulatorThrough = first
      try await Site.with(settings) { site in
        let programs = try (1...Self.workers).map { number in
          try clocks.set("w\(number)", seconds: (number - 1) * 80 - 600)
          return try site.testWorker(
            "w\(number)",
            [
              "pipelines=p\(number)", "interval_ms=\(Self.interval)",
              "gate_margin_ms=\(Self.margin)", "event_count=1000000", "log=warning",
            ], through: first + clocks.through("w\(number)"))
        }
        await eventually(within: .seconds(90), "all have registered") {
          try await site.client.call(["ZCARD", "batchd:workers"]).integer == Self.workers
        }
        let monitor = try await GateMonitor(site, through: first)
        try await Self.enqueue(site)
        let steps = try await Self.stepRedis(site, clocks)
        await site.waitForEnd(of: ["o1"], within: .seconds(Self.isLong ? 600 : 90))
        let arrivals = try site.arrivals()
        let ways = try await monitor.delays(arrivals) { Self.batch(of: $0, site) }
        outcome = try Self.judge(arrivals, ways, steps)
        try await Self.expectAllIsRight(site)
        withExtendedLifetime(programs) {}
      }
      return outcome
    }

    /// This is about the protocol, not about who gets the processor: where the machine lets us, nothing else delays the
    /// parts by more than the margin.
    private static func preference() async -> [String] {
      let command = ["chrt", "--rr", "1"]
      let folder = try? TestFolder()
      let isAllowed = try? await ChildProcess.run(command + ["true"], in: folder?.path ?? "/tmp")
      return isAllowed == nil ? [] : command
    }

    /// One batch in each worker's pipeline, so that all of them ask the account's gate all the time.
    private static func enqueue(_ site: Site) async throws {
      let account = site.world.accounts[0]
      for number in 1...workers {
        let share = account.jobs.indices.filter { batch(of: $0) == "b\(number)" }
        try await site.enqueue(
          "b\(number)", operation: "o1", pipeline: "p\(number)", account: account.name,
          items: share.map { account.jobs[$0].uuid })
      }
    }

    private static func batch(of job: Int) -> String { "b\(job % workers + 1)" }

    private static func batch(of arrival: Arrival, _ site: Site) -> String? {
      site.world.accounts[0].jobs.firstIndex { $0.uuid == arrival.uuid }.map { batch(of: $0) }
    }

    /// Steps the clock each time that enough requests have come. Returns when, in true Unix milliseconds.
    private static func stepRedis(_ site: Site, _ clocks: ShiftedClocks) async throws -> [Int64] {
      var steps: [Int64] = []
      for (index, shift) in shifts.enumerated() {
        await eventually(within: .seconds(180), "the limit is used") {
          try site.arrivals().count >= (index + 1) * requests
        }
        steps.append(Int64(Date.now.timeIntervalSince1970 * 1_000))
        try clocks.set("redis", seconds: shift)
        let shown = try await site.client.call(["TIME"]).array?.first?.integer ?? 0
        #expect(abs(shown - shift - Int(Date.now.timeIntervalSince1970)) <= 2, "it stepped")
      }
      return steps
    }

    private static func judge(
      _ arrivals: [Arrival], _ ways: [Double], _ steps: [Int64]
    ) throws -> Round {
      let gaps = arrivals.compactMap(\.gapMilliseconds)
      let near = gaps.filter { $0 < Double(interval) }
      // No two permissions are too near, ever, and no two requests whose ways from there differ by less than the margin.
      for (index, gap) in gaps.enumerated() {
        let permissions = gap - ways[index + 1] + ways[index]
        #expect(permissions >= Double(interval))
        #expect(gap >= Double(interval) || ways[index] - ways[index + 1] > Double(margin))
      }
      // The gap across a step is not the limit's use, but how long the step shut the gate.
      var used = 0
      var span = 0.0
      var pauses: [Double] = []
      for (before, arrival) in zip(arrivals, arrivals.dropFirst()) {
        let gap = try #require(arrival.gapMilliseconds)
        if steps.contains(where: { (before.milliseconds...arrival.milliseconds).contains($0) }) {
          pauses.append(gap)
        } else {
          used += 1
          span += gap
        }
      }
      let use = Double(used * interval) / span
      #expect(pauses.count == steps.count && pauses.allSatisfy { $0 < 10_000 })
      print(
        """
        row 12: \(workers) processes, \(arrivals.count) requests, \(near.count) gaps under \(interval) ms \
        (least \(gaps.min() ?? 0)), use \(use), \(ways.max() ?? 0) ms at most from a permission to its arrival, \
        \(steps.count) steps of 1 h, after which the gate opened within \(pauses) ms
        """)
      return Round(use: use, near: near)
    }

    /// L = Z = D = 0, and nobody was charged.
    private static func expectAllIsRight(_ site: Site) async throws {
      #expect(try await site.hash("progress:o1")["total"] == "\(workers)")
      #expect(try await Snapshot.take(site.client).problems == [])
      let names = Set(try await QueueEvent.all(site.client).map(\.name))
      #expect(names.isDisjoint(with: ["crashed", "retrying"]), "\(names)")
      try site.expectRowsAreRight()
      // By the clocks of those who wrote them.
      let written = try site.rows(
        "SELECT (max(julianday(updated_at)) - min(julianday(updated_at))) * 86400 > 600 FROM jobs")
      #expect(written == ["1"], "the workers' clocks differ")
    }
  }
}
