import Foundation
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
    _ name: String = "w1", _ pipelines: [PipelineDefinition], prefixes: [String] = ["batchd"],
    logger: Logger = .silent, _ adjust: (inout WorkerConfiguration) -> Void = { _ in }
  ) throws -> RunningWorker {
    try RunningWorker(
      redis.url, store, name, pipelines, prefixes: prefixes, logger: logger, adjust)
  }

  /// The queue of a worker that is only a name, registered for the pipeline `demo`.
  func registered(_ name: String, boot: String = "1") async throws -> ConnectedQueue {
    let connected = ConnectedQueue(try .test(redis.url, store, name, Limits()))
    try await connected.queue.register(
      boot: boot, host: "test", pid: 77, version: "test", store: store.identity(), slots: 1,
      quietMilliseconds: 3_600_000,
      pipelines: [.init(name: "demo", stages: [.extraction], counts: .extraction)])
    return connected
  }

  func enqueue(_ envelopes: String...) async throws {
    for envelope in envelopes { _ = try await redis.cli("LPUSH", "batchd:enqueue", envelope) }
  }

  /// `FCALL batchd_NAME 1 batchd …`, as a person sends it.
  func fcall(_ name: String, _ arguments: String...) async throws -> String {
    try await redis.cli(["FCALL", "batchd_\(name)", "1", "batchd"] + arguments)
      .trimmingCharacters(in: .newlines)
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

  /// Waits until a worker of that name has registered.
  func waitForWorker(_ name: String) async {
    await eventually("\(name) has registered") {
      try await self.redis.cli("EXISTS", "batchd:worker:\(name)") == "1"
    }
  }

  /// The events of that name so far, oldest first.
  func events(_ name: String) async throws -> [[String: String]] {
    let reply = try await redis.shell("rcli --json XRANGE batchd:events - +")
    let entries = try JSON(parsing: Array(reply.utf8)).array ?? []
    return entries.flatMap { entry in
      let flat = (entry.array?.last?.array ?? []).map { $0.string ?? "" }
      let fields = stride(from: 0, to: flat.count - 1, by: 2).reduce(into: [String: String]()) {
        $0[flat[$1]] = flat[$1 + 1]
      }
      // One for each batch of those to which the same happened in one call.
      let batches = fields["batch", default: ""].split(separator: " ").map(String.init)
      return (batches.isEmpty ? [""] : batches).map { batch in
        fields.merging(["batch": batch]) { $1 }
      }
    }.filter { $0["event"] == name }
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

extension Queue {
  static func test(
    _ url: String, _ store: SQLiteStore, _ name: String, _ limits: Limits
  ) throws -> Queue {
    Queue(
      try RedisConfiguration(url: url), prefix: "batchd", worker: name, limits: limits,
      store: .init(store), logger: .silent)
  }
}

extension Logger {
  static var silent: Logger {
    var logger = Logger(label: "test")
    logger.logLevel = .critical
    return logger
  }
}

/// A queue whose client is kept connected by a task of its own.
final class ConnectedQueue: Sendable {
  let queue: Queue
  private let task: Task<Void, any Error>

  init(_ queue: Queue) {
    self.queue = queue
    task = Task { try await queue.client.run() }
  }

  deinit { task.cancel() }

  /// Admits all that was enqueued.
  func admit() async throws {
    while case let entries = try await queue.intake(count: 64), !entries.isEmpty {
      _ = try await queue.admit(queue.check(entries, defaultPipeline: "demo"))
    }
  }

  func claim(count: Int, leaseMilliseconds: Int) async throws -> [Claim] {
    let list = StageList(pipeline: "demo", stage: .extraction)
    let claimed = try await queue.claim(list, count: count, leaseMilliseconds: leaseMilliseconds)
    guard case .batches(let claims) = claimed else { throw CancellationError() }
    return claims
  }
}

/// A worker under way in a task of its own.
final class RunningWorker: Sendable {
  private let group: ServiceGroup
  private let task: Task<Void, any Error>

  init(
    _ url: String, _ store: SQLiteStore, _ name: String, _ pipelines: [PipelineDefinition],
    prefixes: [String] = ["batchd"], logger: Logger = .silent,
    _ adjust: (inout WorkerConfiguration) -> Void = { _ in }
  ) throws {
    var configuration = WorkerConfiguration(
      name: name, host: "test", version: "test", pipelines: pipelines,
      defaultPipeline: pipelines[0].name)
    configuration.beatMilliseconds = 300
    configuration.idleBeatMilliseconds = 300
    adjust(&configuration)
    let worker = Worker(
      configuration, redis: try RedisConfiguration(url: url), prefixes: Prefixes(prefixes),
      store: store, logger: logger)
    let group = ServiceGroup(
      configuration: .init(
        services: [.init(service: worker, successTerminationBehavior: .gracefullyShutdownGroup)],
        logger: .silent))
    self.group = group
    task = Task { try await group.run() }
  }

  /// Waits until it ended by itself. - Throws: why.
  func ended() async throws { try await task.value }

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

extension PipelineDefinition {
  /// A pipeline `demo` of one stage.
  static func demo(
    _ stage: Stage = .extraction, slots: Int = 256, timeoutMilliseconds: Int = 3_600_000,
    retry: RetryPolicy = RetryPolicy(), writesToStore: Bool = false,
    _ body: @escaping @Sendable (StageJob, StageContext) async throws -> JSON?
  ) -> PipelineDefinition {
    PipelineDefinition(
      name: "demo",
      stages: [
        .init(
          stage: stage, handler: Handler(body), slots: slots,
          timeoutMilliseconds: timeoutMilliseconds, retry: retry, writesToStore: writesToStore)
      ])
  }
}
