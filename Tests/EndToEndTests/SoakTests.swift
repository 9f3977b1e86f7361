import Foundation
import Redis
import Synchronization
import TestSupport
import Testing

extension ProcessTests {
  /// Eight workers under steady load, half of them killed again and again: the others must not grow, and every count must
  /// be right.
  @Suite struct SoakTests {
    private static let isLong = ProcessInfo.processInfo.environment["BATCHD_LONG"] == "1"
    private static let length = Duration.seconds(isLong ? 600 : 20)
    private static let names = (1...8).map { "w\($0)" }
    private static let itemsPerBatch = 4

    @Test func survivorsStayFlatAndCountsAreExact() async throws {
      // Whoever is killed this often at random is no poison; that rule has a test of its own.
      let settings = [
        "stage=persistence", "slots=16", "retention_seconds=3", "failed_retention_seconds=3",
        "event_count=1000", "max_crashes=1000", "retries=0",
      ]
      try await TestWorkers.with(settings) { workers in
        var programs: [Program] = []
        for name in Self.names { programs.append(try await workers.start(name)) }
        let survivors = Array(programs[..<4])
        let victims = Array(programs[4...])
        let (pushed, kills, samples) = try await Self.run(workers, survivors, victims)
        await eventually(within: .seconds(120), "all have ended and are written") {
          let stats = try await workers.stats()
          let outbox = try await workers.client.call(["XLEN", "batchd:ended"]).integer
          return stats["completed"] == pushed && outbox == 0
        }
        let stats = try await workers.stats()
        #expect(stats["admitted"] == pushed)
        #expect(stats["failed"] == nil && stats["retries"] == nil && stats["duplicates"] == nil)
        #expect(stats["leases_lost", default: 0] > 0, "no kill met any work")
        let history = try workers.row(
          "SELECT count(*), count(DISTINCT batch), sum(completed_items), sum(failed_items) FROM batch_processing_data"
        )
        #expect(history == [pushed, pushed, pushed * Self.itemsPerBatch, 0])
        print(
          "soak: \(Self.length), \(pushed) batches, \(kills) kills, \(stats["leases_lost"] ?? 0) leases lost"
        )
        #expect(kills >= 5)
        for (name, series) in zip(Self.names, samples) { Self.expectFlat(series, name) }
        for survivor in survivors { #expect(survivor.isRunning) }
      }
    }

    /// - Returns: how many batches were pushed, how often was killed, and a sample a second of each survivor.
    private static func run(
      _ workers: TestWorkers, _ survivors: [Program], _ victims: [Program]
    ) async throws -> (pushed: Int, kills: Int, samples: [[Footprint]]) {
      let end = ContinuousClock.now + length
      async let kills = killAtRandom(workers, victims, until: end)
      async let pushed = feed(workers, until: end)
      var samples = survivors.map { _ in [Footprint]() }
      while ContinuousClock.now < end {
        for (index, survivor) in survivors.enumerated() {
          samples[index].append(try Footprint(survivor))
        }
        try await Task.sleep(for: .seconds(1))
      }
      return try await (pushed, kills, samples)
    }

    /// Keeps a few hundred batches waiting.
    private static func feed(
      _ workers: TestWorkers, until end: ContinuousClock.Instant
    ) async throws -> Int {
      var pushed = 0
      while ContinuousClock.now < end {
        let done = try await workers.stats()["completed", default: 0]
        if pushed - done < 300 {
          try await workers.push(
            (pushed..<pushed + 100).map { number in
              let items = (0..<itemsPerBatch).map { "\"i\($0)\"" }.joined(separator: ",")
              let what = number % 3 == 0 ? #"{"do":"write"}"# : #"{"do":"slow","ms":20}"#
              let account = number % 2 == 0 ? #","account":"a\#(number % 200)""# : ""
              return
                #"{"id":"b\#(number)","operation":"o\#(number / 50)","items":[\#(items)],"payload":\#(what)\#(account)}"#
            })
          pushed += 100
        }
        try await Task.sleep(for: .milliseconds(100))
      }
      return pushed
    }

    private static func killAtRandom(
      _ workers: TestWorkers, _ victims: [Program], until end: ContinuousClock.Instant
    ) async throws -> Int {
      var victims = victims
      var kills = 0
      while ContinuousClock.now < end {
        try await Task.sleep(for: .milliseconds(Int.random(in: 300...1_500)))
        let index = Int.random(in: 0..<victims.count)
        await victims[index].killNow()
        kills += 1
        victims[index] = try await workers.start(names[4 + index])
      }
      // They work on until the end, so that nothing waits for one that is gone.
      idle.withLock { $0 = victims }
      return kills
    }

    /// The victims' last lives; a `Program` dies with its owner.
    private static let idle = Mutex<[Program]>([])

    /// The last third against the one before it; the first is for caches and connections to fill.
    private static func expectFlat(_ series: [Footprint], _ name: String) {
      let third = series.count / 3
      let middle = series[third..<2 * third]
      let last = series[(2 * third)...]
      func mean(_ part: ArraySlice<Footprint>) -> Int {
        part.map(\.residentBytes).reduce(0, +) / part.count
      }
      let growth = mean(last) - mean(middle)
      let descriptors = (middle.map(\.descriptors).max() ?? 0, last.map(\.descriptors).max() ?? 0)
      print(
        "soak: \(name) \(mean(middle) >> 10) KiB, then \(growth >> 10) KiB more; descriptors \(descriptors)"
      )
      #expect(growth < 6 << 20, "\(name) grows")
      #expect(descriptors.1 <= descriptors.0 + 2, "\(name)")
    }
  }
}
