import Foundation
import Logging
import Redis
import TestSupport
import Testing

/// Random histories on the real functions: workers that crash, sleep and come back, lost replies, clocks that jump, a
/// Redis that forgets.
@Suite("Simulation by seed", .serialized)
struct SimulationTests {
  private static let environment = ProcessInfo.processInfo.environment
  private static let seeds = environment["BATCHD_LONG"] == nil ? 1_000 : 20_000

  @Test("nothing is lost, stuck or doubled, and zombies change nothing")
  func everythingHolds() async throws {
    let base = SeededGenerator.chosenSeed()
    print("simulating \(Self.seeds) seeds from BATCHD_SEED=\(base)")
    let start = ContinuousClock.now
    let lanes = 2
    let reports = try await withThrowingTaskGroup { group in
      for lane in 0..<lanes {
        group.addTask {
          try await Report(seeds: Self.seeds / lanes, from: base + UInt64(lane), by: UInt64(lanes))
        }
      }
      return try await group.reduce(into: Report()) { $0.add($1) }
    }
    let seconds = Double((ContinuousClock.now - start) / .milliseconds(1)) / 1000
    print(
      "\(reports.steps) steps in \(Int(seconds)) s, \(Int(Double(reports.steps) / seconds)) a second;",
      Event.allCases.map { "\($0.rawValue) \(reports.seen[$0] ?? 0)" }.joined(separator: ", "))
    for event in Event.allCases {
      #expect(reports.seen[event] != nil, "it never came to: \(event.rawValue)")
    }
    for failure in reports.failures { Issue.record("\(failure)") }
  }
}

/// What many seeds came to.
private struct Report {
  var steps = 0
  var seen: [Event: Int] = [:]
  var failures: [String] = []

  init() {}

  init(seeds: Int, from first: UInt64, by stride: UInt64) async throws {
    let functions = try await FunctionServer()
    for index in 0..<UInt64(seeds) where failures.count < 2 {
      let history = try await History(seed: first + index * stride, on: functions.connection)
      steps += history.steps
      seen.merge(history.seen, uniquingKeysWith: +)
      if history.violation != nil {
        let short = try await history.shrunk(on: functions.connection)
        failures.append("seed \(first + index * stride): \(short.story)")
      }
    }
    await functions.connection.close()
  }

  mutating func add(_ other: Report) {
    steps += other.steps
    seen.merge(other.seen, uniquingKeysWith: +)
    failures += other.failures
  }
}
