internal import Foundation
internal import Logging
internal import Pipeline
internal import Redis
internal import Stages
internal import Stores
internal import Synchronization
internal import Worker

/// Turns the configuration into the objects of a worker process.
struct Wiring: Sendable {
  let worker: Worker
  private let workiz: WorkizPipeline?
  private let store: any ResultsStore

  /// - Parameters:
  ///   - file: where the configuration comes from.
  ///   - tokens: asked at every stage job, so that a reload takes effect.
  init(
    _ configuration: Configuration, file: String, tokens: ReloadableTokens, logger: Logger
  ) async throws {
    let redis = try configuration.redis.patientClient()
    let store = try await configuration.store.open()
    self.store = store
    workiz = try configuration.workizPipeline(tokens: tokens)
    let pipelines: [PipelineDefinition]
    do {
      pipelines = try configuration.definitions(workiz: workiz, file: file)
    } catch {
      // Its client traps when it goes without a word.
      try? await workiz?.close()
      throw error
    }
    let settings = configuration.workerConfiguration(pipelines: pipelines)
    worker = Worker(
      settings, redis: redis, prefixes: configuration.prefixes, store: store, logger: logger)
  }

  /// Closes what the worker used, after it has ended.
  func close() async throws {
    try await workiz?.close()
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

extension Configuration.StoreSettings {
  /// Opens the store that the configuration names.
  /// - Parameter makesTables: false for whoever only looks, and must not be the one who makes a store.
  /// - Throws: `StoreError`, or `ConfigurationError` when the password cannot be read.
  func open(makesTables: Bool = true) async throws -> any ResultsStore {
    guard let url else { return try await SQLiteStore(path: path) }
    return try await PostgreSQLStore(
      url, password: try password?.read(), makesTables: makesTables)
  }
}

extension Configuration {
  /// The pipeline `workiz`; nil when no stage of this worker needs it.
  fileprivate func workizPipeline(tokens: ReloadableTokens) throws -> WorkizPipeline? {
    guard needsWorkiz else { return nil }
    var settings = WorkizConfiguration { tokens.token(of: $0) }
    settings.baseURL = workiz.baseURL
    settings.intervalMilliseconds = workiz.intervalMilliseconds
    settings.timeoutMilliseconds = workiz.timeoutMilliseconds
    settings.offsetUnit = .init(rawValue: workiz.offsetUnit.rawValue) ?? .records
    settings.batchSize = workiz.batchSize
    return try WorkizPipeline(settings)
  }

  fileprivate func workerConfiguration(pipelines: [PipelineDefinition]) -> WorkerConfiguration {
    var result = WorkerConfiguration(
      name: "\(MachineName.current)-\(instance)", host: ProcessInfo.processInfo.hostName,
      version: Batchd.version, pipelines: pipelines, defaultPipeline: defaultPipeline,
      limits: limits)
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
