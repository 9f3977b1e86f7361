import Foundation
import NIOHTTP1
import Pipeline
import Simulators
import Testing

@Suite struct WorkizLimitTests {
  @Test func strictRefusesWhatIsNearerThanTheInterval() async throws {
    try await RunningSimulator.with(
      .testing {
        $0.limit = .strict
        $0.intervalMilliseconds = 60_000
      }
    ) { simulator in
      #expect(try await simulator.api("acme", "job/all/").status == 200)
      var retryAfter = Set<String>()
      for _ in 0..<20 {
        let refused = try await simulator.api("acme", "job/all/")
        #expect(refused.status == 429)
        retryAfter.insert(refused.headers.first(name: "retry-after") ?? "none")
      }
      // Seconds, an HTTP-date and none at all: each occurs.
      #expect(retryAfter.contains("none") && retryAfter.contains("60"))
      #expect(retryAfter.contains { $0.hasSuffix("GMT") })
      #expect(try await simulator.api("bolt", "job/all/").status == 200, "limits count per token")
    }
  }

  @Test func strictLetsTheNextIntervalPass() async throws {
    try await RunningSimulator.with(
      .testing {
        $0.limit = .strict
        $0.intervalMilliseconds = 50
      }
    ) { simulator in
      for _ in 0..<3 {
        #expect(try await simulator.api("acme", "job/all/").status == 200)
        try await Task.sleep(for: .milliseconds(60))
      }
    }
  }

  @Test func bucketHoldsThirty() async throws {
    try await RunningSimulator.with(
      .testing {
        $0.limit = .bucket
        $0.intervalMilliseconds = 3_600_000
      }
    ) { simulator in
      var statuses: [Int] = []
      for _ in 0..<32 { statuses.append(try await simulator.api("acme", "job/all/").status) }
      #expect(statuses == Array(repeating: 200, count: 30) + [429, 429])
    }
  }

  @Test func faultsHappenAtTheirShareInEveryWay() async throws {
    let path = NSTemporaryDirectory() + "arrivals-\(UUID().uuidString)"
    defer { try? FileManager.default.removeItem(atPath: path) }
    try await RunningSimulator.with(
      .testing {
        $0.faults = 1
        $0.intervalMilliseconds = 1
        $0.arrivalsPath = path
        $0.accounts = 10
      }
    ) { simulator in
      await withTaskGroup { group in
        for account in simulator.world.accounts {
          group.addTask {
            for _ in 0..<12 { _ = try? await simulator.api(account.name, "job/all/") }
          }
        }
      }
    }
    let lines = try String(contentsOfFile: path, encoding: .utf8).split(separator: "\n")
    let arrivals = try lines.map { try JSON(parsing: Array($0.utf8)) }
    #expect(
      Set(arrivals.compactMap { $0["fault"]?.string }) == [
        "throttledSeconds", "throttledDate", "throttled", "html520", "serverError", "unavailable",
        "truncated", "dropped", "slow",
      ])
  }

  @Test func arrivalLogShowsGapsAndNoToken() async throws {
    let path = NSTemporaryDirectory() + "arrivals-\(UUID().uuidString)"
    defer { try? FileManager.default.removeItem(atPath: path) }
    try await RunningSimulator.with(
      .testing {
        $0.arrivalsPath = path
        $0.intervalMilliseconds = 40
      }
    ) { simulator in
      let uuid = simulator.world.accounts[0].jobs[0].uuid
      _ = try await simulator.api("acme", "job/get/\(uuid)/")
      _ = try await simulator.api("acme", "job/all/")
      try await Task.sleep(for: .milliseconds(60))
      _ = try await simulator.api("acme", "job/all/")
      _ = try await simulator.get("/api/v1/secret/job/all/")
      let summary = try #require(try await simulator.get("/_simulator/summary").json)
      #expect(summary["requests"] == .integer(4) && summary["unknown_token"] == .integer(1))
      #expect(summary["accounts"]?["acme"]?["requests"] == .integer(3))
      #expect(summary["accounts"]?["bolt"]?["requests"] == .integer(0))
      let text = try String(contentsOfFile: path, encoding: .utf8)
      #expect(!text.contains("sim-acme") && !text.contains("secret"))
      let lines = try text.split(separator: "\n").map { try JSON(parsing: Array($0.utf8)) }
      #expect(lines.map { $0["account"]?.string } == ["acme", "acme", "acme", nil])
      #expect(lines[0]["gap_ms"] == .null && lines[0]["uuid"] == .string(uuid))
      let moments = lines.prefix(3).compactMap { number($0["monotonic_ns"]) }
      let gaps = lines.compactMap { number($0["gap_ms"]) }
      #expect(gaps.count == 2 && gaps[1] >= 60)
      for (index, gap) in gaps.enumerated() {
        #expect(abs((moments[index + 1] - moments[index]) / 1e6 - gap) < 0.01)
      }
      #expect(number(summary["smallest_gap_ms"]) == gaps.min())
      #expect(summary["violations"] == .integer(Int64(gaps.count { $0 < 40 })))
    }
  }

  private func number(_ json: JSON?) -> Double? {
    switch json {
    case .integer(let value): Double(value)
    case .number(let value): value
    default: nil
    }
  }
}
