/// What a worker costs that has nothing to do: six stages served.
enum IdleWorkload {
  static func run(_ settings: BenchSettings) async throws -> [Figure] {
    try await BenchSite.run(appendOnly: settings.appendOnly) { site in
      let worker = try await site.readyWorker("w1", ["--stages", "6"])
      try await Task.sleep(for: .seconds(3))
      let seconds = max(60 * settings.scale, 10)
      let before = worker.cpuNanoseconds
      let first = try await RedisCounters.read(site.connection).commands
      try await Task.sleep(for: .seconds(seconds))
      let cpu = Double(worker.cpuNanoseconds - before) / 1e9
      let commands = try await RedisCounters.read(site.connection).commands - first
      let resident = worker.residentBytes
      try await worker.stop()
      return [
        Figure(
          "idle", "commands per minute", Double(commands) * 60 / seconds, "", .atMost(12)),
        Figure("idle", "of a core", 100 * cpu / seconds, "%", .atMost(0.1)),
        Figure("idle", "worker RSS", Double(resident) / 1e6, "MB", .atMost(25)),
      ]
    }
  }
}
