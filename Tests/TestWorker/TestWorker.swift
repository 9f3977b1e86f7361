internal import Foundation
internal import Logging
internal import Pipeline
internal import Queue
internal import Redis
internal import ServiceLifecycle
internal import Stages
internal import Stores
internal import UnixSignals
internal import Worker

/// A real worker process whose handlers do what a batch's payload says (`TestHandler`), however bad.
///
/// Arguments are `KEY=VALUE`: redis (URL), store (path), name; the rest have the defaults below.
@main
enum TestWorker {
  static func main() async throws {
    let settings = Settings(CommandLine.arguments.dropFirst())
    LoggingSystem.bootstrap { StreamLogHandler.standardError(label: $0) }
    var logger = Logger(label: "worker")
    logger.logLevel = Logger.Level(rawValue: settings["log", "info"]) ?? .info
    let store = try await SQLiteStore(
      path: settings["store", ""], busyMilliseconds: settings["busy_ms", 10_000])
    let workiz = try settings.workiz()
    let configuration = try settings.worker(workiz)
    let worker = Worker(
      configuration, redis: try RedisConfiguration(url: settings["redis", ""]),
      prefixes: Prefixes(settings["prefix", "batchd"].split(separator: ",").map(String.init)),
      store: store, logger: logger)
    let group = ServiceGroup(
      configuration: .init(
        services: [.init(service: worker, successTerminationBehavior: .gracefullyShutdownGroup)],
        gracefulShutdownSignals: [.sigterm], logger: logger))
    try await group.run()
    try await workiz?.close()
    try await store.close()
  }
}

/// The process's arguments, `KEY=VALUE` each.
struct Settings {
  private let values: [Substring: Substring]

  init(_ arguments: some Sequence<String>) {
    values = arguments.reduce(into: [:]) { values, argument in
      let parts = argument.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      values[parts[0]] = parts.last
    }
  }

  subscript(key: Substring, fallback: String) -> String {
    values[key].map(String.init) ?? fallback
  }

  subscript(key: Substring, fallback: Int) -> Int { values[key].flatMap { Int($0) } ?? fallback }

  /// With `workiz=URL` the pipelines have Workiz's handlers, and every account the simulator's token.
  func workiz() throws -> WorkizPipeline? {
    guard values["workiz"] != nil else { return nil }
    var configuration = WorkizConfiguration { "sim-\($0)" }
    configuration.baseURL = self["workiz", ""]
    configuration.intervalMilliseconds = self["interval_ms", 1_000]
    configuration.timeoutMilliseconds = self["request_ms", 30_000]
    return try WorkizPipeline(configuration)
  }

  /// With `exec=SCRIPT` the stage is a command of the shell.
  private func handler() throws -> any StageHandler {
    guard values["exec"] != nil else { return TestHandler() }
    return try ExecHandler(
      ExecConfiguration(command: ["/bin/sh", "-c", self["exec", ""]]), retries: self["retries", 3])
  }

  func worker(_ workiz: WorkizPipeline?) throws -> WorkerConfiguration {
    let names = self["pipelines", "demo"].split(separator: ",").map(String.init)
    let handlers =
      try workiz?.handlers ?? [Stage(rawValue: self["stage", "extraction"])!: handler()]
    var retry = RetryPolicy()
    retry.retries = self["retries", 3]
    retry.backoffMilliseconds = self["backoff_ms", 100]
    let stages = handlers.map { stage, handler in
      StageDefinition(
        stage: stage, handler: handler, slots: self["slots", 256],
        timeoutMilliseconds: self["timeout_ms", 3_600_000], retry: retry,
        writesToStore: stage == .persistence)
    }
    var configuration = WorkerConfiguration(
      name: self["name", "w1"], host: "test", version: "test",
      pipelines: names.map {
        PipelineDefinition(
          name: $0, stages: stages, counts: workiz == nil ? nil : WorkizPipeline.countedStage)
      }, defaultPipeline: names[0])
    configuration.leaseMilliseconds = self["lease_ms", 2_000]
    configuration.beatMilliseconds = self["beat_ms", 300]
    configuration.idleBeatMilliseconds = self["idle_beat_ms", 300]
    configuration.drainMilliseconds = self["drain_ms", 5_000]
    configuration.maxCrashes = self["max_crashes", 3]
    configuration.gateMarginMilliseconds = self["gate_margin_ms", 15]
    configuration.gatePatienceMilliseconds = self["gate_patience_ms", 2_000]
    configuration.limits.retentionSeconds = self["retention_seconds", 86_400]
    configuration.limits.failedRetentionSeconds = self["failed_retention_seconds", 2_592_000]
    configuration.limits.eventCount = self["event_count", 10_000]
    configuration.limits.rejectedCount = self["rejected_count", 1_000]
    return configuration
  }
}
