/// What claim and finish of one batch cost Redis at a thousand, a hundred thousand and a million queued.
enum DepthWorkload {
  private static let sample = 20_000
  private static let few = 512

  static func run(_ settings: BenchSettings) async throws -> [Figure] {
    var figures: [Figure] = []
    var first: Double?
    for depth in [1_000, 100_000, 1_000_000].map(settings.scaled) {
      let cost = try await cost(at: depth, settings)
      figures.append(Figure("depth", "claim and finish at \(depth) queued", cost, "µs"))
      if let first {
        figures.append(
          Figure(
            "depth", "of the cost at the least depth", 100 * cost / first, "%", .atMost(110)))
      }
      first = first ?? cost
    }
    return figures
  }

  /// Microseconds within the functions for each batch: the median of some hundred batches at a time, for this machine may
  /// do other things now and then. A short queue is filled and emptied some times.
  private static func cost(at depth: Int, _ settings: BenchSettings) async throws -> Double {
    try await BenchSite.run(appendOnly: settings.appendOnly) { site in
      let most = min(Self.sample, 16 * depth)
      var costs: [Double] = []
      var seen = 0
      var round = 0
      while seen < most {
        var load = BenchSite.Load(count: depth)
        load.operation = "depth\(round)"
        round += 1
        let worker = try await site.workerWithBacklog(load, [])
        try await worker.stop()
        try await site.resume()
        let bare = Ceiling(connection: site.connection, stage: "persistence", items: 0)
        var taken = 0
        var before = try await RedisCounters.read(site.connection)
        // Not to the last one: the queue is to stay as deep as it is said to be.
        while taken < min(depth - depth / 4, most) {
          var ended = 0
          while ended < Self.few, try await bare.step(0) { ended += 64 }
          if ended == 0 { break }
          let after = try await RedisCounters.read(site.connection)
          costs.append(Double(after.callMicroseconds - before.callMicroseconds) / Double(ended))
          before = after
          taken += ended
        }
        seen += taken
        if seen < most { try await bare.drain() }
      }
      return costs.sorted()[costs.count / 2]
    }
  }
}
