public import Logging
public import Queue
public import Redis
public import ServiceLifecycle
public import Stores

/// One worker process: fetches, runs, renews, settles, until it is told to stop. Under several prefixes it does so under
/// each by itself, with slots of its own; one whose Redis is away keeps no other from its work.
public struct Worker: Service, CustomStringConvertible {
  private let name: String
  private let members: [Member]

  /// A worker on the Redis and with the store that it is given.
  public init(
    _ configuration: WorkerConfiguration, redis: RedisConfiguration, prefixes: Prefixes,
    store: any ResultsStore, logger: Logger
  ) {
    name = configuration.name
    let queues = prefixes.names.map { prefix in
      Queue(
        redis, prefix: prefix, of: prefixes, worker: configuration.name,
        limits: configuration.limits, store: .init(store), logger: logger)
    }
    let systemd = Systemd(prefixes.names)
    let gates = GateHomes(queues)
    let farewell = Farewell(queues.count)
    members = queues.map { queue in
      var logger = logger
      if queues.count > 1 { logger[metadataKey: "prefix"] = "\(queue.keys.prefix)" }
      return Member(
        configuration: configuration, queue: queue, gates: gates, store: store, systemd: systemd,
        farewell: farewell, logger: logger)
    }
  }

  /// Only the name: the lifecycle logs its services, and a configuration is no business of the log's.
  public var description: String { "worker \(name)" }

  /// Runs until a graceful shutdown has handed the work back.
  /// - Throws: `WorkerError`, `QueueError`; what runs then is recovered by the next start or another worker.
  public func run() async throws {
    // Where one ends by an error, the others hand their work back: it is none of their fault.
    let groups = members.map { member in
      ServiceGroup(
        configuration: .init(
          services: [.init(service: member, successTerminationBehavior: .gracefullyShutdownGroup)],
          logger: Logger(label: "batchd") { _ in SwiftLogNoOpLogHandler() }))
    }
    try await withThrowingTaskGroup(of: Void.self) { tasks in
      for group in groups { tasks.addTask { try await group.run() } }
      var failure: (any Error)?
      while let result = await tasks.nextResult() {
        guard case .failure(let error) = result, failure == nil else { continue }
        failure = error
        for group in groups { await group.triggerGracefulShutdown() }
      }
      if let failure { throw failure }
    }
  }
}

extension Adoption.EpochStore {
  /// The epochs that a results store has on record.
  public init(_ store: any ResultsStore) {
    self.init(
      read: { try await store.epoch(of: $0) }, raise: { try await store.raise(epoch: $0, of: $1) })
  }
}
