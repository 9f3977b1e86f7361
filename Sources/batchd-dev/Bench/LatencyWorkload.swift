internal import Histogram
internal import Redis

/// From the push of an entry to the start of its handler, on an idle worker: a push every 20 ms. Beside it what a bare
/// push takes to a client that waits in BRPOP: there it passes Redis once, on its way to a handler twice at least.
enum LatencyWorkload {
  private typealias Latencies = Histogram<UInt64>

  static func run(_ settings: BenchSettings) async throws -> [Figure] {
    try await BenchSite.run(appendOnly: settings.appendOnly) { site in
      // The push is written by the thread that took its time.
      try await withTaskExecutorPreference(RedisExecutor.shared) {
        let bare = try await bareWakes(site, pushes: settings.scaled(300))
        let handled = try await handlerStarts(site, pushes: settings.scaled(1_000))
        return figures("push to BRPOP's answer", bare, targets: [:])
          + figures("push to handler start", handled, targets: [50: 0.3, 99: 0.9])
      }
    }
  }

  private static func handlerStarts(_ site: BenchSite, pushes: Int) async throws -> Latencies {
    let worker = try await site.readyWorker("w1", ["--work", "stamp"])
    // What is done for the first time (a connection, a page of memory) is no part of it.
    let unmeasured = 50
    var load = BenchSite.Load(count: unmeasured + pushes)
    load.operation = "latency"
    let sent = try await pushEvery20(load.count) { try await site.enqueue(load, $0) }
    try await site.untilEnded(load, worker)
    var histogram = Self.histogram()
    for stamp in worker.stamps("start") {
      guard let index = stamp.name.split(separator: "-").last.flatMap({ Int($0) }),
        index >= unmeasured
      else { continue }
      histogram.record(UInt64(max(stamp.nanoseconds - sent[index], 1)))
    }
    try await worker.stop()
    guard histogram.totalCount == UInt64(pushes) else {
      throw BenchError("\(histogram.totalCount) of \(pushes) pushes were heard of")
    }
    return histogram
  }

  private static func bareWakes(_ site: BenchSite, pushes: Int) async throws -> Latencies {
    let listener = try await BenchSite.client(site.url).connect()
    async let heard = hear(pushes, on: listener)
    let sent = try await pushEvery20(pushes) { _ in
      _ = try await site.connection.call(["LPUSH", "wake", "x"])
    }
    var histogram = Self.histogram()
    for (sent, heard) in zip(sent, try await heard) {
      histogram.record(UInt64(max(heard - sent, 1)))
    }
    await listener.close()
    return histogram
  }

  /// - Returns: when each was heard.
  private static func hear(_ count: Int, on listener: RedisConnection) async throws -> [Int] {
    var heard: [Int] = []
    for _ in 0..<count {
      _ = try await listener.call(["BRPOP", "wake", "10"], timeoutMilliseconds: 20_000)
      heard.append(MonotonicClock.nanoseconds)
    }
    return heard
  }

  /// - Returns: when each was sent.
  private static func pushEvery20(
    _ count: Int, _ push: (Int) async throws -> Void
  ) async throws -> [Int] {
    var sent: [Int] = []
    for index in 0..<count {
      try await Task.sleep(for: .milliseconds(20))
      sent.append(MonotonicClock.nanoseconds)
      try await push(index)
    }
    return sent
  }

  private static func histogram() -> Latencies {
    Histogram(
      highestTrackableValue: 60_000_000_000, numberOfSignificantValueDigits: .three)
  }

  private static func figures(
    _ name: String, _ histogram: Latencies, targets: [Double: Double]
  ) -> [Figure] {
    [50, 95, 99, 100].map { percentile in
      Figure(
        "latency", "\(name), \(percentile == 100 ? "max" : "p\(Int(percentile))")",
        Double(histogram.valueAtPercentile(percentile)) / 1e6, "ms",
        targets[percentile].map(Figure.Target.atMost))
    }
  }
}
