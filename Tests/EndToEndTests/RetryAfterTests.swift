import Foundation
import Redis
import Simulators
import TestSupport
import Testing

@testable import enum Simulators.WorkizFault

extension ProcessTests {
  /// RELIABILITY, row 14: what the service asks of one worker, both of them do. The service's own arrival log tells.
  @Suite struct RetryAfterTests {
    private static let isLong = ProcessInfo.processInfo.environment["BATCHD_LONG"] == "1"
    /// Of the workers' requests, in milliseconds; far more than an answer takes, after which nothing may be under way.
    private static let interval = 500
    private static let retryAfter = 3_000
    private static let jobs = isLong ? 60 : 8
    /// How many answers say `Retry-After`, in seconds as well as as a date.
    private static let throttles = isLong ? 6 : 2

    @Test func bothWorkersWait() async throws {
      var settings = Site.Settings(jobs: Self.jobs)
      settings.simulator.intervalMilliseconds = Self.retryAfter
      settings.simulator.faults = 0.1
      settings.simulator.seed = try Self.seed(settings.simulator)
      try await Site.with(settings) { site in
        let workers = try (1...2).map {
          try site.testWorker(
            "w\($0)", ["pipelines=p\($0)", "interval_ms=\(Self.interval)", "gate_margin_ms=50"])
        }
        await eventually(within: .seconds(30), "both have registered") {
          try await site.client.call(["ZCARD", "batchd:workers"]).integer == 2
        }
        let account = site.world.accounts[0]
        for number in 0..<2 {
          try await site.enqueue(
            "b\(number + 1)", operation: "o1", pipeline: "p\(number + 1)", account: account.name,
            items: account.jobs.indices.filter { $0 % 2 == number }.map { account.jobs[$0].uuid })
        }
        await site.waitForEnd(of: ["o1"], within: .seconds(180))
        try Self.judge(try site.arrivals())
        try site.expectRowsAreRight()
        let names = Set(try await QueueEvent.all(site.client).map(\.name))
        #expect(names.isDisjoint(with: ["crashed", "retrying"]), "\(names)")
        withExtendedLifetime(workers) {}
      }
    }

    /// Faults come by seed: one with which some requests, not the first ones, are throttled in both ways and none
    /// fails in another.
    private static func seed(_ settings: WorkizSimulatorSettings) throws -> UInt64 {
      let wanted: Set<WorkizFault> = [.throttledSeconds, .throttledDate]
      return try #require(
        (1...1_000_000).first { seed in
          let faults = (1...(jobs + 2 + throttles)).map { number in
            WorkizFault.chosen(
              seed: seed, account: "acme", number: number, share: settings.faults)
          }
          let some = faults.compactMap { $0 }
          return faults.prefix(3) == [nil, nil, nil] && faults.suffix(2) == [nil, nil]
            && some.count == throttles && Set(some) == wanted
        })
    }

    private static func judge(_ arrivals: [Arrival]) throws {
      var waits: [Double] = []
      for (throttled, next) in zip(arrivals, arrivals.dropFirst()) where throttled.status == 429 {
        waits.append(try #require(next.gapMilliseconds))
      }
      #expect(waits.count == throttles)
      let early = waits.filter { $0 < Double(retryAfter) }
      #expect(early == [])
      // A date has whole seconds, so that the service gives one more; the rest is the gate's margin and the way.
      #expect(waits.allSatisfy { $0 < Double(retryAfter) + 5_000 }, "not shut for long")
      print(
        "row 14: 2 processes, Retry-After of \(retryAfter) ms \(waits.count) times: \(early.count) requests before its end, the next after \(waits) ms"
      )
    }
  }
}
