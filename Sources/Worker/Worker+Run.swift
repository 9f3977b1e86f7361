internal import Foundation
public import Logging
internal import Queue
internal import Redis
internal import ServiceLifecycle
public import Stores
internal import UnixSignals

extension Worker {
  /// Runs one worker with handlers written in Swift until SIGTERM or SIGINT, which hand its work back: all that a program
  /// of one's own needs. `deploy/examples/swift` is one.
  ///
  /// - Parameters:
  ///   - redis: `redis://HOST[:PORT][/DB]`, `rediss://…` or `unix:///PATH`; with `redis+cluster://HOST[:PORT],…` prefixes
  ///     must be in braces, `{batchd}`.
  ///   - prefixes: at least one; accounts are spread over them as `Prefixes` says.
  ///   - store: the same for all workers of a prefix; closed at the end.
  ///   - instance: tells the workers of one host apart; one that starts again under its name takes its work back at once.
  ///   - configure: changes what else a worker can be told.
  /// - Throws: `RedisError` for a wrong URL, `WorkerError`, `QueueError`, `StoreError`.
  public static func run(
    _ pipelines: [PipelineDefinition], redis: String = "redis://127.0.0.1:6379",
    prefixes: [String] = ["batchd"], store: any ResultsStore, instance: String = "1",
    logger: Logger = Logger(label: "batchd"),
    configure: (inout WorkerConfiguration) -> Void = { _ in }
  ) async throws {
    var configuration = WorkerConfiguration(
      name: "\(MachineName.current)-\(instance)", host: ProcessInfo.processInfo.hostName,
      version: "", pipelines: pipelines,
      defaultPipeline: pipelines.count == 1 ? pipelines[0].name : nil)
    configure(&configuration)
    let worker = Worker(
      configuration, redis: try RedisConfiguration(url: redis), prefixes: Prefixes(prefixes),
      store: store, logger: logger)
    let group = ServiceGroup(
      configuration: .init(
        services: [.init(service: worker, successTerminationBehavior: .gracefullyShutdownGroup)],
        gracefulShutdownSignals: [.sigterm, .sigint], logger: logger))
    do {
      try await group.run()
    } catch {
      try? await store.close()
      throw error
    }
    try await store.close()
  }
}
