internal import Histogram

/// From the push of an entry to the start of its handler, on an idle worker: a push every 20 ms.
enum LatencyWorkload {
  static func run(_ settings: BenchSettings) async throws -> [Figure] {
    try await BenchSite.run(appendOnly: settings.appendOnly) { site in
      let worker = try await site.readyWorker("w1", ["--work", "stamp"])
      // What is done for the first time (a connection, a page of memory) is no part of it.
      let pushes = settings.scaled(1_000)
      var load = BenchSite.Load(count: pushes + 50)
      load.operation = "latency"
      var sent: [Int] = []
      for index in 0..<load.count {
        sent.append(MonotonicClock.nanoseconds)
        try await site.enqueue(load, index)
        try await Task.sleep(for: .milliseconds(20))
      }
      try await site.untilEnded(load, worker)
      var histogram = Histogram<UInt64>(
        highestTrackableValue: 60_000_000_000, numberOfSignificantValueDigits: .three)
      for stamp in worker.stamps("start") {
        guard let index = stamp.name.split(separator: "-").last.flatMap({ Int($0) }), index >= 50
        else { continue }
        histogram.record(UInt64(max(stamp.nanoseconds - sent[index], 1)))
      }
      try await worker.stop()
      guard histogram.totalCount == UInt64(pushes) else {
        throw BenchError("\(histogram.totalCount) of \(pushes) pushes were heard of")
      }
      func figure(_ name: String, _ percentile: Double, _ target: Double?) -> Figure {
        Figure(
          "latency", "push to handler start, \(name)",
          Double(histogram.valueAtPercentile(percentile)) / 1e6, "ms",
          target.map(Figure.Target.atMost))
      }
      return [
        figure("p50", 50, 0.3), figure("p95", 95, nil), figure("p99", 99, 0.9),
        figure("max", 100, nil),
      ]
    }
  }
}
