public import Logging
public import Queue
public import Redis
public import ServiceLifecycle
public import Stores

/// One worker process: fetches, runs, renews, settles, until it is told to stop. Under several prefixes it does so under
/// each by itself, with slots of its own; one whose Redis is away keeps no other.
public struct Worker: Service, CustomStringConvertible {
  private let name: String
  private let members: [Member]

  /// - Parameter queues: one for each prefix.
  public init(
    _ configuration: WorkerConfiguration, queues: [Queue], store: any ResultsStore, logger: Logger
  ) {
    name = configuration.name
    let systemd = Systemd(queues.map(\.keys.prefix))
    let gates = GateHomes(queues)
    members = queues.map { queue in
      var logger = logger
      if queues.count > 1 { logger[metadataKey: "prefix"] = "\(queue.keys.prefix)" }
      return Member(
        configuration: configuration, queue: queue, gates: gates, store: store, systemd: systemd,
        logger: logger)
    }
  }

  /// A worker on the Redis and with the store that it is given.
  public init(
    _ configuration: WorkerConfiguration, redis: RedisConfiguration, prefixes: Prefixes,
    store: any ResultsStore, logger: Logger
  ) {
    let queues = prefixes.names.map { prefix in
      Queue(
        redis, prefix: prefix, of: prefixes, worker: configuration.name,
        limits: configuration.limits, store: .init(store), logger: logger)
    }
    self.init(configuration, queues: queues, store: store, logger: logger)
  }

  /// Only the name: the lifecycle logs its services, and a configuration is no business of the log's.
  public var description: String { "worker \(name)" }

  /// Runs until a graceful shutdown has handed the work back.
  /// - Throws: `WorkerError`, `QueueError`; what runs then is recovered by the next start or another worker.
  public func run() async throws {
    try await withThrowingDiscardingTaskGroup { group in
      for member in members { group.addTask { try await member.run() } }
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
