internal import Foundation

/// How soon the work of a worker killed by -9 runs again, and whether the store holds each row once.
enum RecoveryWorkload {
  private static let batches = 10
  private static let rows = 5

  static func run(_ settings: BenchSettings) async throws -> [Figure] {
    let restarted = try await BenchSite.run(appendOnly: settings.appendOnly) {
      try await recovery($0, isRestarted: true)
    }
    let taken = try await BenchSite.run(appendOnly: settings.appendOnly) {
      try await recovery($0, isRestarted: false)
    }
    return [
      Figure(
        "recovery", "first re-run after a restart under its name", restarted.seconds, "s",
        .atMost(1)),
      Figure("recovery", "last re-run by another worker", taken.seconds, "s", .atMost(20)),
      Figure(
        "recovery", "rows lost", Double(restarted.lost + taken.lost), "", .atMost(0)),
      Figure(
        "recovery", "rows written twice", Double(restarted.twice + taken.twice), "", .atMost(0)),
    ]
  }

  private struct Result {
    let seconds: Double
    let lost: Int
    let twice: Int
  }

  /// - Parameter isRestarted: under its name; otherwise another worker runs already.
  private static func recovery(_ site: BenchSite, isRestarted: Bool) async throws -> Result {
    let options = ["--work", "write", "--times", "400"]
    let load = BenchSite.Load(operation: "recovery", count: batches, items: rows)
    let worker = try await site.workerWithBacklog(load, options)
    try await site.resume()
    try await BenchSite.until("all run", worker) { worker.stamps("start").count == batches }
    let other = isRestarted ? nil : try await site.readyWorker("w2", options)
    try await worker.stop(SIGKILL)
    let killed = MonotonicClock.nanoseconds
    let successor = if let other { other } else { try await site.readyWorker("w1", options) }
    try await site.untilEnded(load, successor)
    let runs = successor.stamps("start").map(\.nanoseconds)
    guard let first = runs.min(), let last = runs.max() else {
      throw BenchError("nothing was run again")
    }
    let changed = (worker.lines + successor.lines).filter { $0.hasPrefix("wrote ") }
      .reduce(0) { $0 + ($1.split(separator: " ").last.flatMap { Int($0) } ?? 0) }
    try await successor.stop()
    let expected = batches * rows
    return Result(
      seconds: Double((isRestarted ? first : last) - killed) / 1e9,
      lost: max(expected - changed, 0), twice: max(changed - expected, 0))
  }
}
