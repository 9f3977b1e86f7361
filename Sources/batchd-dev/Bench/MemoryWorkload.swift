internal import Queue
internal import Redis

/// What queued batches take in Redis, what stays of them after retention, and the worker's memory on the way.
enum MemoryWorkload {
  static func run(_ settings: BenchSettings) async throws -> [Figure] {
    try await BenchSite.run(appendOnly: settings.appendOnly) { site in
      let load = BenchSite.Load(count: settings.scaled(50_000))
      let options = ["--retention-seconds", "2"]
      var worker = try await site.readyWorker("w1", options)
      let empty = try await RedisCounters.read(site.connection).memory
      try await worker.stop()
      worker = try await site.workerWithBacklog(load, options)
      let full = try await RedisCounters.read(site.connection).memory
      let envelope = load.envelope(load.count / 2).utf8.count
      try await site.resume()
      try await site.untilEnded(load, worker)
      try await site.untilArchived(worker)
      let peak = worker.peakBytes
      try await BenchSite.until("retention is over", worker) {
        try await site.connection.call(["EXISTS", .text(site.keys.progress(load.operation))])
          .integer == 0
      }
      let left = try await keysLeft(site)
      try await worker.stop()
      return [
        Figure(
          "memory", "Redis bytes per admitted batch beyond its payload",
          Double(full - empty) / Double(load.count) - Double(envelope), "B", .atMost(700)),
        Figure("memory", "bytes of an envelope", Double(envelope), "B"),
        Figure("memory", "keys left after retention", Double(left), "", .atMost(0)),
        Figure("memory", "worker peak RSS", Double(peak) / 1e6, "MB", .atMost(60)),
      ]
    }
  }

  /// Keys that name a batch or an operation.
  private static func keysLeft(_ site: BenchSite) async throws -> Int {
    let names = ["batch", "input", "output", "items", "errors", "progress", "members", "accounts"]
    var left = 0
    var cursor = "0"
    repeat {
      let page =
        try await site.connection.call(["SCAN", .text(cursor), "COUNT", 1_000]).array ?? []
      guard page.count == 2 else { throw BenchError("SCAN answered \(page)") }
      cursor = page[0].text ?? "0"
      left += (page[1].array ?? []).compactMap(\.text).count { key in
        names.contains { key.hasPrefix("\(BenchSite.prefix):\($0):") }
      }
    } while cursor != "0"
    return left
  }
}
