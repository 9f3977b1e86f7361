import AsyncHTTPClient
import NIOCore
import NIOHTTP1
import Pipeline
import Simulators

/// An answer of the simulator over HTTP.
struct Answer: Sendable {
  let status: Int
  let headers: HTTPHeaders
  let body: [UInt8]
  var json: JSON? { try? JSON(parsing: body) }
}

/// A simulator that listens on a free port of the loopback while `use` runs.
struct RunningSimulator: Sendable {
  let simulator: WorkizSimulator
  let port: Int
  var world: WorkizWorld { simulator.world }

  static func with(
    _ settings: WorkizSimulatorSettings = .testing(),
    use: @Sendable (RunningSimulator) async throws -> Void
  ) async throws {
    let simulator = try WorkizSimulator(settings)
    let (ports, port) = AsyncStream.makeStream(of: Int.self)
    try await withThrowingTaskGroup { group in
      group.addTask {
        defer { port.finish() }
        try await simulator.run { port.yield($0) }
      }
      for await port in ports {
        try await use(RunningSimulator(simulator: simulator, port: port))
        break
      }
      group.cancelAll()
    }
  }

  func get(_ path: String) async throws -> Answer { try await send("GET", path, nil) }

  func api(_ account: String, _ path: String) async throws -> Answer {
    try await get("/api/v1/sim-\(account)/\(path)")
  }

  func send(_ method: String, _ path: String, _ body: String?) async throws -> Answer {
    var request = HTTPClientRequest(url: "http://127.0.0.1:\(port)\(path)")
    request.method = .init(rawValue: method)
    if let body { request.body = .bytes(ByteBuffer(string: body)) }
    let response = try await HTTPClient.shared.execute(request, timeout: .seconds(30))
    let bytes = try await response.body.collect(upTo: 1 << 24)
    return Answer(
      status: Int(response.status.code), headers: response.headers,
      body: Array(bytes.readableBytesView))
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
