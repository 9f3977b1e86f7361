internal import Foundation
internal import Logging
internal import Pipeline
internal import Queue
internal import Redis
internal import Stages
internal import Stores
internal import Synchronization
internal import Worker

/// Turns the configuration into the objects of a worker process.
struct Wiring: Sendable {
  let worker: Worker
  private let pipeline: WorkizPipeline
  private let store: SQLiteStore

  /// - Parameter tokens: asked at every stage job, so that a reload takes effect.
  init(
    _ configuration: Configuration, tokens: ReloadableTokens, logger: Logger
  ) async throws {
    let redis = try configuration.redisConfiguration()
    let store = try await SQLiteStore(path: configuration.store.path)
    self.store = store
    var workiz = WorkizConfiguration { tokens.token(of: $0) }
    workiz.baseURL = configuration.workiz.baseURL
    workiz.intervalMilliseconds = configuration.workiz.intervalMilliseconds
    workiz.timeoutMilliseconds = configuration.workiz.timeoutMilliseconds
    workiz.offsetUnit = .init(rawValue: configuration.workiz.offsetUnit.rawValue) ?? .records
    workiz.batchSize = configuration.workiz.batchSize
    pipeline = try WorkizPipeline(workiz)
    let settings = configuration.workerConfiguration(handlers: pipeline.handlers)
    let queue = Queue(
      redis, prefix: configuration.prefix, worker: settings.name,
      limits: configuration.limits,
      store: .init(
        read: { try await store.epoch() }, raise: { try await store.raise(epoch: $0) }),
      logger: logger)
    worker = Worker(settings, queue: queue, store: store, logger: logger)
  }

  /// Closes what the worker used, after it has ended.
  func close() async throws {
    try await pipeline.close()
    try await store.close()
  }
}

/// The accounts' tokens as last read; SIGHUP reads them again.
final class ReloadableTokens: Sendable {
  private let tokens: Mutex<AccountTokens>

  init(_ tokens: AccountTokens) { self.tokens = Mutex(tokens) }

  func token(of account: String) -> String? { tokens.withLock { $0.token(of: account) } }

  func replace(with tokens: AccountTokens) { self.tokens.withLock { $0 = tokens } }
}

extension Configuration {
  /// Where Redis is, with its password read.
  /// - Throws: `RedisError`, or `ConfigurationError` when the password cannot be read.
  func redisConfiguration() throws -> RedisConfiguration {
    var redis = try RedisConfiguration(url: self.redis.url)
    redis.user = self.redis.user
    redis.password = try self.redis.password?.read()
    redis.sentinelUser = self.redis.sentinelUser
    redis.sentinelPassword = try self.redis.sentinelPassword?.read()
    redis.caFile = self.redis.caFile
    redis.certificateFile = self.redis.certificateFile
    redis.keyFile = self.redis.keyFile
    redis.callTimeoutMilliseconds = self.redis.callTimeoutMilliseconds
    // An attempt that began while the way was bad is given up no later than a call: until then nobody tries the way anew.
    redis.connectTimeoutMilliseconds = min(
      redis.connectTimeoutMilliseconds, self.redis.callTimeoutMilliseconds)
    return redis
  }

  fileprivate func workerConfiguration(
    handlers: [Stage: any StageHandler]
  ) -> WorkerConfiguration {
    let served = pipelines.filter(\.value.serve).map { name, pipeline in
      PipelineDefinition(
        name: name,
        stages: pipeline.stages.compactMap { stage, settings in
          handlers[stage].map {
            StageDefinition(
              stage: stage, handler: $0, slots: settings.slots,
              timeoutMilliseconds: settings.timeoutMilliseconds, retry: settings.retry,
              onDrain: settings.onDrain, writesToStore: stage == .persistence)
          }
        }, counts: WorkizPipeline.countedStage)
    }
    var result = WorkerConfiguration(
      name: "\(MachineName.current)-\(instance)", host: ProcessInfo.processInfo.hostName,
      version: Batchd.version, pipelines: served, defaultPipeline: defaultPipeline, limits: limits)
    result.leaseMilliseconds = worker.leaseMilliseconds
    result.beatMilliseconds = worker.beatMilliseconds
    result.idleBeatMilliseconds = worker.idleBeatMilliseconds
    result.drainMilliseconds = worker.drainMilliseconds
    result.maxCrashes = worker.maxCrashes
    result.fetchMilliseconds = worker.fetchMilliseconds
    result.gatePatienceMilliseconds = worker.gatePatienceMilliseconds
    result.gateMarginMilliseconds = worker.gateMarginMilliseconds
    return result
  }
}
