/// How fast one worker brings batches to their end, and what each of them costs Redis.
struct DrainWorkload {
  let name: String
  let load: BenchSite.Load
  var stages = 1
  var appendOnly = false
  /// What counts as one: a batch, a stage or an item.
  let unit: String
  /// How many of `unit` each batch is.
  var perBatch = 1
  /// The target for each second where raw LPUSH does 100,000.
  let target: Double
  var cpuTarget: Double?

  private var options: [String] {
    ["--stages", "\(stages)"] + (load.items > 0 ? ["--work", "items"] : [])
  }
  private var units: String { unit == "batch" ? "batches" : "\(unit)s" }
  private var amount: Double { Double(load.count * perBatch) }

  /// Everything is admitted before the clock starts. Of three runs, for each lasts a second or less, the one in the middle.
  func run(_ yardstick: Yardstick) async throws -> [Figure] {
    var runs: [Drain] = []
    var ceilings: [Double] = []
    for _ in 0..<3 {
      ceilings.append(
        try await BenchSite.run(appendOnly: appendOnly) { site in try await measureCeiling(site) })
      runs.append(
        try await BenchSite.run(appendOnly: appendOnly) { site in try await drain(site) })
    }
    let middle = runs.sorted { $0.rate < $1.rate }[1]
    let ceiling = ceilings.sorted()[1]
    return [
      Figure(name, "\(units)/s", middle.rate, "/s", .atLeast(target * yardstick.lpush / 100_000)),
      Figure(
        name, "of raw LPUSH", 100 * middle.rate / yardstick.lpush, "%", .atLeast(target / 1000)),
      Figure(name, "ceiling", ceiling, "/s"),
      Figure(name, "of the ceiling", 100 * middle.rate / ceiling, "%", .atLeast(85)),
      Figure(
        name, "Redis CPU per \(unit)", middle.redis, "µs", cpuTarget.map(Figure.Target.atMost)),
      Figure(name, "in functions per \(unit)", middle.functions, "µs"),
      Figure(name, "calls per 100 \(units)", middle.calls * 100, ""),
      Figure(name, "Redis CPU until archived per \(unit)", middle.archived, "µs"),
      Figure(name, "worker CPU per \(unit)", middle.worker, "µs"),
      Figure(name, "worker peak RSS", Double(middle.peakBytes) / 1e6, "MB", .atMost(60)),
    ]
  }

  /// What one run took: `unit`s a second, and microseconds of processor time for each.
  private struct Drain {
    let rate: Double
    let redis: Double
    let functions: Double
    /// Calls of functions for each `unit`.
    let calls: Double
    /// Of Redis until the store had everything.
    let archived: Double
    let worker: Double
    let peakBytes: Int
  }

  private func drain(_ site: BenchSite) async throws -> Drain {
    let worker = try await site.workerWithBacklog(load, options)
    let before = try await RedisCounters.read(site.connection)
    let workerBefore = worker.cpuNanoseconds
    try await site.resume()
    try await site.untilEnded(load, worker)
    let after = try await RedisCounters.read(site.connection)
    let workerCPU = Double(worker.cpuNanoseconds - workerBefore) / 1000
    let elapsed = try await site.milliseconds(load)
    try await site.untilArchived(worker)
    let archived = try await RedisCounters.read(site.connection)
    let peak = worker.peakBytes
    try await worker.stop()
    return Drain(
      rate: amount * 1000 / elapsed,
      redis: (after.cpuMicroseconds - before.cpuMicroseconds) / amount,
      functions: Double(after.callMicroseconds - before.callMicroseconds) / amount,
      calls: Double(after.calls - before.calls) / amount,
      archived: (archived.cpuMicroseconds - before.cpuMicroseconds) / amount,
      worker: workerCPU / amount, peakBytes: peak)
  }

  /// What Redis allows, in `unit`s a second.
  private func measureCeiling(_ site: BenchSite) async throws -> Double {
    let worker = try await site.workerWithBacklog(load, options)
    try await worker.stop()
    try await site.resume()
    let first = stages == 1 ? "persistence" : "setup"
    try await Ceiling(connection: site.connection, stage: first, items: load.items).drain()
    try await site.untilEnded(load)
    let elapsed = try await site.milliseconds(load)
    return amount * 1000 / elapsed
  }

  /// Entries lie in `batchd:enqueue` before the worker starts; the clock starts with the first admission.
  func withAdmission(_ yardstick: Yardstick, target: Double) async throws -> [Figure] {
    try await BenchSite.run(appendOnly: appendOnly) { site in
      try await site.enqueue(load)
      let before = try await RedisCounters.read(site.connection)
      let worker = try await site.readyWorker("w1", options)
      try await site.untilEnded(load, worker)
      let after = try await RedisCounters.read(site.connection)
      let elapsed = try await site.milliseconds(load, withAdmission: true)
      try await worker.stop()
      let rate = amount * 1000 / elapsed
      return [
        Figure(
          name, "\(units)/s with admission", rate, "/s",
          .atLeast(target * yardstick.lpush / 100_000)),
        Figure(
          name, "Redis CPU with admission per \(unit)",
          (after.cpuMicroseconds - before.cpuMicroseconds) / amount, "µs"),
      ]
    }
  }
}
