import Foundation
import TestSupport
import Testing

@testable import enum TestSupport.ChildProcess

/// Listens when Redis was asked for permissions, by its own clock. What a request took from its permission to its arrival
/// is not the gate's doing: no process can keep the machine from stopping it after its last look at the clock.
final class GateMonitor: Sendable {
  private let path: String
  private let pid: pid_t

  /// - Parameter through: a command through which it runs.
  init(_ site: Site, through: [String]) async throws {
    path = "\(site.folder.path)/monitor"
    pid = try ChildProcess.spawn(
      through + ["redis-cli", "-s", site.redis.socketPath, "MONITOR"], output: path)
    let path = path
    await eventually("MONITOR has begun") {
      try String(contentsOfFile: path, encoding: .utf8).hasPrefix("OK")
    }
  }

  deinit {
    kill(pid, SIGKILL)
    ChildProcess.reap(pid)
  }

  /// Milliseconds from the last question for a permission to each arrival, in their order.
  /// - Parameter batch: whose request an arrival is.
  func delays(_ arrivals: [Arrival], batch: (Arrival) -> String?) async throws -> [Double] {
    var delays: [Double] = []
    await eventually("MONITOR has told of all") {
      delays = try read(arrivals, batch: batch)
      return delays.allSatisfy(\.isFinite)
    }
    return delays
  }

  private func read(_ arrivals: [Arrival], batch: (Arrival) -> String?) throws -> [Double] {
    var asked: [String: [Double]] = [:]
    let line = /^(\d+\.\d+) .*"batchd_gate_(?:take|confirm)" .*"([^"]+)" "\d+-\d+"$/
    let text = try String(contentsOfFile: path, encoding: .utf8)
    for found in text.split(separator: "\n").compactMap({ $0.firstMatch(of: line) }) {
      asked[String(found.2), default: []].append((Double(found.1) ?? 0) * 1_000)
    }
    return arrivals.map { arrival in
      let moments = batch(arrival).flatMap { asked[$0] } ?? []
      return moments.map { Self.withoutHours(Double(arrival.milliseconds) - $0) }
        .filter { $0 >= -2 }.min() ?? .infinity
    }
  }

  /// Redis's clock is whole hours beside the true one.
  private static func withoutHours(_ milliseconds: Double) -> Double {
    milliseconds - (milliseconds / 3_600_000).rounded() * 3_600_000
  }
}
