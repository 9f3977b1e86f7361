import Logging
import Pipeline
import Queue
import Redis
import ServiceLifecycle
import Stores
import TestSupport
import Testing
import Worker

/// A private Redis, a SQLite file, and workers of this process on them.
final class WorkerHarness: Sendable {
  let redis: TestRedis
  let store: SQLiteStore

  init(redisArguments: [String] = []) async throws {
    redis = try await TestRedis(arguments: redisArguments)
    store = try await SQLiteStore(path: "\(redis.folder)/store.sqlite")
  }

  /// Starts a worker; it is told to stop by `RunningWorker.stop`.
  func worker(
    _ name: String = "w1", _ pipelines: [PipelineDefinition],
    _ adjust: (inout WorkerConfiguration) -> Void = { _ in }
  ) throws -> RunningWorker {
    var configuration = WorkerConfiguration(
      name: name, host: "test", version: "test", pipelines: pipelines,
      defaultPipeline: pipelines[0].name)
    configuration.beatMilliseconds = 300
    configuration.idleBeatMilliseconds = 300
    adjust(&configuration)
    var logger = Logger(label: "test")
    logger.logLevel = .critical
    let store = store
    let queue = Queue(
      try RedisConfiguration(url: redis.url), prefix: "batchd", worker: name,
      limits: configuration.limits,
      store: .init(
        read: { try await store.epoch() }, raise: { try await store.raise(epoch: $0) }),
      logger: logger)
    return RunningWorker(Worker(configuration, queue: queue, store: store, logger: logger), logger)
  }

  func enqueue(_ envelopes: String...) async throws {
    for envelope in envelopes { _ = try await redis.cli("LPUSH", "batchd:enqueue", envelope) }
  }

  func field(_ key: String, _ field: String) async throws -> String {
    try await redis.cli("HGET", "batchd:\(key)", field)
  }

  func hash(_ key: String) async throws -> [String: String] {
    let lines = try await redis.cli("HGETALL", "batchd:\(key)")
      .split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
    return stride(from: 0, to: lines.count - 1, by: 2).reduce(into: [:]) {
      $0[lines[$1]] = lines[$1 + 1]
    }
  }

  /// Waits until the operation or batch of that name has a status.
  @discardableResult
  func waitFor(
    _ status: String, of key: String, within limit: Duration = .seconds(20)
  ) async -> Bool {
    await eventually(within: limit, "\(key) is \(status)") {
      try await self.field(key, "status") == status
    }
  }
}

/// A worker under way in a task of its own.
final class RunningWorker: Sendable {
  private let group: ServiceGroup
  private let task: Task<Void, any Error>

  init(_ worker: Worker, _ logger: Logger) {
    let group = ServiceGroup(
      configuration: .init(
        services: [.init(service: worker, successTerminationBehavior: .gracefullyShutdownGroup)],
        logger: logger))
    self.group = group
    task = Task { try await group.run() }
  }

  /// What SIGTERM does; returns when the worker has ended.
  func stop() async throws {
    await group.triggerGracefulShutdown()
    try await task.value
  }
}

/// A handler made of a closure.
struct Handler: StageHandler {
  let body: @Sendable (StageJob, StageContext) async throws -> JSON?

  init(_ body: @escaping @Sendable (StageJob, StageContext) async throws -> JSON?) {
    self.body = body
  }

  func run(_ job: StageJob, _ context: StageContext) async throws -> JSON? {
    try await body(job, context)
  }
}
