internal import Redis

/// What Redis itself does on this machine at this moment: figures of two machines, or of two hours, compare only as ratios
/// to it.
struct Yardstick {
  /// LPUSH and RPOP of 120 bytes per second, over 50 connections of ours, each waiting for its reply: as
  /// `redis-benchmark -P 1` does.
  let lpush: Double
  let rpop: Double

  private static let connections = 50

  static func measure(calls: Int = 100_000) async throws -> Yardstick {
    try await BenchSite.run(appendOnly: false) { site in
      let value = RedisArgument.text(String(repeating: "x", count: 120))
      _ = try await rate(site, ["LPUSH", "yardstick", value], calls: calls / 10)
      let lpush = try await rate(site, ["LPUSH", "yardstick", value], calls: calls)
      return Yardstick(
        lpush: lpush, rpop: try await rate(site, ["RPOP", "yardstick"], calls: calls))
    }
  }

  private static func rate(
    _ site: BenchSite, _ command: [RedisArgument], calls: Int
  ) async throws -> Double {
    let client = try BenchSite.client(site.url)
    let elapsed = try await withThrowingTaskGroup(of: Void.self) { group in
      var opened: [RedisConnection] = []
      for _ in 0..<connections { opened.append(try await client.connect()) }
      let start = ContinuousClock.now
      for connection in opened {
        group.addTask {
          for _ in 0..<calls / connections { _ = try await connection.call(command) }
        }
      }
      try await group.waitForAll()
      return ContinuousClock.now - start
    }
    return Double(calls) / elapsed.seconds
  }
}

extension Duration {
  var seconds: Double {
    Double(components.seconds) + Double(components.attoseconds) / 1e18
  }
}
