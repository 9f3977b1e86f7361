/// More workers on one Redis; and a thousand accounts on one worker, each behind a gate of its own.
enum FanOutWorkload {
  static func run(_ settings: BenchSettings) async throws -> [Figure] {
    var figures: [Figure] = []
    for count in [1, 2, 4] {
      let rate = try await rate(workers: count, settings)
      figures.append(
        Figure("fan-out", "batches/s, \(count) worker\(count == 1 ? "" : "s")", rate, "/s"))
    }
    return figures + (try await gates(settings))
  }

  private static func rate(workers count: Int, _ settings: BenchSettings) async throws -> Double {
    try await BenchSite.run(appendOnly: settings.appendOnly) { site in
      let load = BenchSite.Load(count: settings.scaled(50_000))
      var workers = [try await site.workerWithBacklog(load, [])]
      for index in 1..<count { workers.append(try await site.readyWorker("w\(index + 1)", [])) }
      try await site.resume()
      try await site.untilEnded(load, workers[0])
      let elapsed = try await site.milliseconds(load)
      for worker in workers { try await worker.stop() }
      return Double(load.count) * 1000 / elapsed
    }
  }

  /// Each account sends one request a second for as long as it may.
  private static func gates(_ settings: BenchSettings) async throws -> [Figure] {
    try await BenchSite.run(appendOnly: settings.appendOnly) { site in
      let accounts = settings.scaled(1_000)
      let requests = max(Int(20 * settings.scale), 4)
      let options = ["--work", "gate", "--times", "\(requests)", "--slots", "\(accounts)"]
      let load = BenchSite.Load(operation: "gates", count: accounts, hasAccounts: true)
      let worker = try await site.workerWithBacklog(load, options)
      try await site.resume()
      try await site.untilEnded(load, worker)
      let peak = worker.peakBytes
      let sent = Dictionary(grouping: worker.stamps("sent"), by: \.name)
        .mapValues { $0.map(\.nanoseconds).sorted() }
      try await worker.stop()
      guard sent.count == accounts, sent.values.allSatisfy({ $0.count == requests }) else {
        throw BenchError("\(sent.values.reduce(0) { $0 + $1.count }) requests were sent")
      }
      let gaps = sent.values.flatMap { times in zip(times, times.dropFirst()).map { $1 - $0 } }
      // Each account by its own first and last request: they need not begin at one moment.
      let rate = sent.values.reduce(0.0) {
        $0 + Double(requests - 1) * 1e9 / Double($1[requests - 1] - $1[0])
      }
      return [
        Figure(
          "gates", "requests/s, \(accounts) accounts at 1/s", rate, "/s",
          .atLeast(0.975 * Double(accounts))),
        Figure(
          "gates", "least gap between two requests of an account",
          Double(gaps.min() ?? 0) / 1e6, "ms", .atLeast(1_000)),
        Figure("gates", "worker peak RSS", Double(peak) / 1e6, "MB", .atMost(60)),
      ]
    }
  }
}
