import Simulators

struct SimulatedFailure: Error {}

/// A simulator without limits on a free port of the loopback, and the base URL to reach it.
enum Simulated {
  static func with(
    _ settings: WorkizSimulatorSettings = .testing(),
    use: @Sendable (WorkizSimulator, String) async throws -> Void
  ) async throws {
    let simulator = try WorkizSimulator(settings)
    let (ports, port) = AsyncStream.makeStream(of: Int.self)
    try await withThrowingTaskGroup { group in
      group.addTask {
        defer { port.finish() }
        try await simulator.run { port.yield($0) }
      }
      for await port in ports {
        try await use(simulator, "http://127.0.0.1:\(port)/api/v1")
        break
      }
      group.cancelAll()
    }
  }
}

extension WorkizSimulatorSettings {
  /// A free port, no limit, no latency, a fixed day; then what the test changes.
  static func testing(
    _ change: (inout WorkizSimulatorSettings) -> Void = { _ in }
  ) -> WorkizSimulatorSettings {
    var settings = WorkizSimulatorSettings()
    settings.port = 0
    settings.latencyMilliseconds = 0
    settings.limit = .none
    settings.today = "2026-03-15"
    change(&settings)
    return settings
  }
}
