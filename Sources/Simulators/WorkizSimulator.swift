import Hummingbird
import Logging
import NIOCore

/// A Workiz service that nobody has to ask for permission: routes, envelopes, unstable types, limits
/// and faults as in FACTS.md section 1, from a seed.
public struct WorkizSimulator: Sendable {
  public let settings: WorkizSimulatorSettings
  public let world: WorkizWorld
  private let responder: WorkizResponder
  private let stamps = ArrivalStamps()

  /// Makes the world and opens the arrival log.
  /// - Throws: `SimulatorError` when a setting is out of its range or the log cannot be written.
  public init(_ settings: WorkizSimulatorSettings) throws(SimulatorError) {
    self.settings = settings
    world = try WorkizWorld(settings)
    responder = try WorkizResponder(settings, world, stamps)
  }

  /// Serves until the task is cancelled.
  /// - Parameter onListening: called once with the port that it listens on.
  /// - Throws: `SimulatorError` with code `.listen` when the port is taken.
  public func run(onListening: @escaping @Sendable (Int) async -> Void) async throws {
    let application = application(onListening)
    try await listening { try await application.run() }
  }

  /// Serves until SIGTERM or SIGINT.
  /// - Parameter onListening: called once with the port that it listens on.
  /// - Throws: `SimulatorError` with code `.listen` when the port is taken.
  public func runService(onListening: @escaping @Sendable (Int) async -> Void) async throws {
    let application = application(onListening)
    try await listening { try await application.runService() }
  }

  private func listening(_ serve: () async throws -> Void) async throws {
    do {
      try await serve()
    } catch let error as IOError {
      throw SimulatorError(
        .listen,
        "cannot listen on \(settings.host):\(settings.port) (\(error)): "
          + "end what listens there, or choose another port; 0 picks a free one")
    }
  }

  private func application(
    _ onListening: @escaping @Sendable (Int) async -> Void
  ) -> Application<WorkizResponder> {
    let stamps = stamps
    var logger = Logger(label: "batchd-dev.simulator")
    // Hummingbird reports every connection that a client or a fault closes.
    logger.logLevel = .critical
    return Application(
      responder: responder,
      // Closing idle connections bounds what forgotten clients hold.
      server: .http1(
        configuration: .init(
          additionalChannelHandlers: [stamps.handler()], idleTimeout: .seconds(300))),
      configuration: .init(address: .hostname(settings.host, port: settings.port)),
      onServerRunning: { channel in await onListening(channel.localAddress?.port ?? 0) },
      logger: logger)
  }
}
