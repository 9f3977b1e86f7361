internal import ArgumentParser
internal import Glibc
internal import Logging
internal import Pipeline
internal import Queue
internal import Redis
internal import ServiceLifecycle
internal import Stores
internal import UnixSignals
internal import Worker

extension BenchHandler.Work: ExpressibleByArgument {}

/// A worker process as `batchd work` runs it, but for its handlers. `batchd-dev bench` starts it.
struct BenchWorkerCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "bench-worker", abstract: "The worker of a benchmark.", shouldDisplay: false)

  @Option var redis: String
  @Option var store: String
  @Option var name: String
  @Option(transform: { $0.split(separator: ",").map(String.init) })
  var prefixes = [BenchSite.prefix]
  @Option var stages = 1
  @Option var slots = 256
  @Option var work = BenchHandler.Work.nothing
  @Option var times = 1
  @Option var retentionSeconds = 86_400

  func run() async throws {
    LoggingSystem.bootstrap { StreamLogHandler.standardError(label: $0) }
    var logger = Logger(label: "bench-worker")
    logger.logLevel = .warning
    let store = try await SQLiteStore(path: store)
    let handler = BenchHandler(work: work, times: times)
    let definitions = Stage.allCases.suffix(stages).map {
      StageDefinition(
        stage: $0, handler: handler, slots: slots, writesToStore: work == .write)
    }
    var limits = Limits()
    limits.retentionSeconds = retentionSeconds
    let configuration = WorkerConfiguration(
      name: name, host: "bench", version: "bench",
      pipelines: [PipelineDefinition(name: BenchSite.pipeline, stages: definitions)],
      defaultPipeline: BenchSite.pipeline, limits: limits)
    let worker = Worker(
      configuration, redis: try RedisConfiguration(url: redis), prefixes: Prefixes(prefixes),
      store: store, logger: logger)
    try await ServiceGroup(
      configuration: .init(
        services: [.init(service: worker, successTerminationBehavior: .gracefullyShutdownGroup)],
        gracefulShutdownSignals: [.sigterm], logger: logger)
    ).run()
    try await store.close()
  }
}

/// What the benchmark's batches do.
struct BenchHandler: StageHandler {
  enum Work: String, CaseIterable {
    case nothing
    /// Checkpoints all items in one call.
    case items
    /// Prints when it started.
    case stamp
    /// Takes its account's gate `times` times, and prints when each time.
    case gate
    /// Prints when it started, waits `times` milliseconds and writes a row for each item.
    case write
  }

  let work: Work
  let times: Int

  func run(_ job: StageJob, _ context: StageContext) async throws -> JSON? {
    switch work {
    case .nothing: break
    case .items:
      try await context.checkpoint(
        Dictionary(uniqueKeysWithValues: job.items.map { ($0.id, .done(.integer(1))) }))
    case .stamp: Self.say("start", job.batch)
    case .gate:
      let account = job.account ?? "none"
      for _ in 0..<times {
        try await context.take(gate: account, intervalMilliseconds: 1_000)
        Self.say("sent", account)
      }
    case .write:
      Self.say("start", job.batch)
      try await Task.sleep(for: .milliseconds(times))
      let changed = try await context.store.upsert(
        job.items.map {
          JobDocument(uuid: $0.id, account: job.batch, document: Array("{}".utf8), contentHash: "1")
        }, for: job)
      Self.say("wrote", job.batch, " \(changed)")
    }
    return nil
  }

  /// Prints a line `WHAT NAME NANOSECONDS`, by the clock that all processes of a host share, in one write.
  private static func say(_ what: String, _ name: String, _ rest: String = "") {
    let line = Array("\(what) \(name) \(MonotonicClock.nanoseconds)\(rest)\n".utf8)
    _ = write(STDOUT_FILENO, line, line.count)
  }
}

enum MonotonicClock {
  /// CLOCK_MONOTONIC.
  static var nanoseconds: Int {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return time.tv_sec * 1_000_000_000 + time.tv_nsec
  }
}
