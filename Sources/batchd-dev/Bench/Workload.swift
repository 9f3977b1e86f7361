internal import ArgumentParser

/// What `batchd-dev bench` measures.
enum Workload: String, CaseIterable, ExpressibleByArgument {
  case drain, pipeline, items, latency, idle, memory, depth
  case fanOut = "fan-out"
  case store, recovery, prefixes

  static var names: String { allCases.map(\.rawValue).joined(separator: ", ") }

  /// Whether it is worth measuring once more with Redis's append-only file.
  var dependsOnAppendOnlyFile: Bool { self != .store && self != .idle && self != .memory }

  func run(_ settings: BenchSettings) async throws -> [Figure] {
    switch self {
    case .drain:
      let drain = DrainWorkload(
        name: rawValue, load: .init(count: settings.scaled(50_000)),
        appendOnly: settings.appendOnly, unit: "batch", target: 45_000, cpuTarget: 18)
      return try await drain.run(settings.yardstick)
        + drain.withAdmission(settings.yardstick, target: 30_000)
    case .pipeline:
      return try await DrainWorkload(
        name: rawValue, load: .init(count: settings.scaled(5_000)), stages: 6,
        appendOnly: settings.appendOnly, unit: "stage", perBatch: 6, target: 80_000, cpuTarget: 9
      ).run(settings.yardstick)
    case .items:
      return try await DrainWorkload(
        name: rawValue, load: .init(count: settings.scaled(1_000), items: 100),
        appendOnly: settings.appendOnly, unit: "item", perBatch: 100, target: 150_000
      ).run(settings.yardstick)
    case .latency: return try await LatencyWorkload.run(settings)
    case .idle: return try await IdleWorkload.run(settings)
    case .memory: return try await MemoryWorkload.run(settings)
    case .depth: return try await DepthWorkload.run(settings)
    case .fanOut: return try await FanOutWorkload.run(settings)
    case .store: return try await StoreWorkload.run(settings)
    case .recovery: return try await RecoveryWorkload.run(settings)
    case .prefixes: return try await PrefixesWorkload.run(settings)
    }
  }
}
