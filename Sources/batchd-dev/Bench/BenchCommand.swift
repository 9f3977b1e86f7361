internal import ArgumentParser
internal import Foundation
internal import Logging

struct BenchCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "bench",
    abstract: "Measure the worker on a Redis of its own.",
    discussion: """
      Each workload starts its own redis-server on loopback and worker processes as `batchd work` \
      runs them. Absolute figures belong to one machine and one hour: compare them as ratios to the \
      yardstick (raw LPUSH and RPOP through the same client) and to the ceiling (the same functions \
      called by a client that does nothing else), both measured in the same run.

      Build it with optimisation: swift run -c release batchd-dev bench

      Examples:
        batchd-dev bench                      everything, some minutes
        batchd-dev bench drain latency        only these
        taskset -c 1 batchd-dev bench         Redis has processor 0 for itself, all else the 1
        batchd-dev bench --scale 0.01 --json  a quick look, for a program
      """)

  @Argument(help: "Which workloads (default: all): \(Workload.names).")
  var workloads: [Workload] = []

  @Option(help: "Multiplies the number of batches, and the time of what lasts, by this much.")
  var scale = 1.0

  @Option(help: "Redis's append-only file: off, everysec or both.")
  var aof = AppendOnly.both

  @Flag(help: "Print one JSON object instead of the table.")
  var json = false

  enum AppendOnly: String, ExpressibleByArgument, CaseIterable {
    case off, everysec, both
  }

  func validate() throws {
    guard scale > 0, scale <= 10 else { throw ValidationError("--scale must be above 0, up to 10") }
  }

  func run() async throws {
    LoggingSystem.bootstrap { StreamLogHandler.standardError(label: $0) }
    let report = BenchReport(isJSON: json)
    report.begin()
    for workload in workloads.isEmpty ? Workload.allCases : workloads {
      for appendOnly in [false, true] {
        guard aof == .both || (aof == .everysec) == appendOnly else { continue }
        if appendOnly, aof == .both, !workload.dependsOnAppendOnlyFile { continue }
        report.announce("\(workload.rawValue)\(appendOnly ? ", append-only file" : "")")
        let yardstick = try await Yardstick.measure(calls: max(Int(100_000 * min(scale, 1)), 5_000))
        let figures = try await workload.run(
          BenchSettings(scale: scale, appendOnly: appendOnly, yardstick: yardstick))
        report.add(figures, workload, appendOnly: appendOnly, yardstick)
      }
    }
    try report.end()
  }
}

/// How one workload is to be run.
struct BenchSettings {
  let scale: Double
  let appendOnly: Bool
  /// Measured a moment ago.
  let yardstick: Yardstick

  /// `count` at this scale, at least one.
  func scaled(_ count: Int) -> Int { max(Int(Double(count) * scale), 1) }
}
