internal import Logging
internal import Pipeline
internal import Queue
internal import Redis
internal import ServiceLifecycle
internal import Stores

/// The loops of one registered worker, and the order in which they stop.
struct Crew: Sendable {
  let state: WorkerState
  private let configuration: WorkerConfiguration
  private let queue: Queue
  private let definitions: [StageList: StageDefinition]
  private let blocked: [StageList: BlockedConnection]
  private let blockedIntake: BlockedConnection
  private let runner: JobRunner
  private let watchdog: Watchdog
  private let beat: Beat
  private let outbox: Outbox
  private let systemd: Systemd
  private let logger: Logger

  init(
    _ configuration: WorkerConfiguration, queue: Queue, gates: GateHomes,
    store: any ResultsStore, systemd: Systemd, boot: String, logger: Logger
  ) {
    self.configuration = configuration
    self.queue = queue
    self.systemd = systemd
    self.logger = logger
    var definitions: [StageList: StageDefinition] = [:]
    for pipeline in configuration.pipelines {
      for stage in pipeline.stages {
        definitions[StageList(pipeline: pipeline.name, stage: stage.stage)] = stage
      }
    }
    self.definitions = definitions
    let state = WorkerState(slots: definitions.mapValues(\.slots))
    self.state = state
    blocked = definitions.mapValues { _ in BlockedConnection(queue.client) }
    blockedIntake = BlockedConnection(queue.client)
    runner = JobRunner(
      queue: queue, gates: gates, state: state, store: store,
      settlement: Settlement(queue: queue, leaseMilliseconds: configuration.leaseMilliseconds) {
        for signal in state.fetch.values { signal.send() }
      },
      definitions: definitions, following: Self.following(definitions.keys),
      configuration: configuration, logger: logger)
    watchdog = Watchdog(
      systemd: systemd, workerState: state, queue: queue,
      drainMilliseconds: configuration.drainMilliseconds, logger: logger)
    beat = Beat(
      queue: queue, state: state, boot: boot, blocked: blocked, blockedIntake: blockedIntake,
      configuration: configuration, watchdog: watchdog, logger: logger)
    outbox = Outbox(queue: queue, state: state, store: store, logger: logger)
  }

  private static func following(_ lists: some Collection<StageList>) -> [StageList: StageList] {
    var following: [StageList: StageList] = [:]
    for list in lists {
      following[list] =
        lists
        .filter { $0.pipeline == list.pipeline && $0.stage > list.stage }
        .min { $0.stage < $1.stage }
    }
    return following
  }

  /// Works until a graceful shutdown has been carried out.
  func run(hasRecovered: Bool) async throws {
    if hasRecovered { state.suspects.send() }
    state.outbox.send()
    try await withThrowingTaskGroup(of: Bool.self) { loops in
      loops.addTask { try await untilClosed { try await beat.run() } }
      loops.addTask {
        try await untilClosed {
          try await Ticker(
            queue: queue, state: state, configuration: configuration, logger: logger
          ).run()
        }
      }
      loops.addTask { try await untilClosed { try await outbox.run() } }
      loops.addTask {
        await Warden(state: state).run()
        return false
      }
      loops.addTask {
        await watchdog.run()
        return false
      }
      loops.addTask {
        try await serve()
        return true
      }
      // The other loops end only by an error: leases are renewed and the watchdog fed until the last job is settled.
      while let isServed = try await loops.next(), !isServed {}
      loops.cancelAll()
    }
  }

  /// A loop that finds the client ended has nothing to do any more; how the worker ends is for `serve` to say.
  private func untilClosed(_ loop: () async throws -> Void) async throws -> Bool {
    do { try await loop() } catch let error as RedisError where error.code == .closed {}
    return false
  }

  private func serve() async throws {
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask {
        await cancelWhenGracefulShutdown {
          await withTaskExecutorPreference(RedisExecutor.shared) {
            await fetch { runner.start($0) }
          }
        }
        drain()
        await runner.jobs.untilNone()
      }
      group.addTask { try await limitDrain() }
      try await group.next()
      group.cancelAll()
    }
  }

  private func fetch(_ submit: @escaping @Sendable (Assignment) -> Void) async {
    let ofAdmission = admissionFetchers(submit)
    await withDiscardingTaskGroup { loops in
      loops.addTask {
        await Intake(
          queue: queue, state: state, blocked: blockedIntake, fetchers: ofAdmission,
          configuration: configuration, logger: logger
        ).run()
      }
      loops.addTask {
        await SuspectFetcher(
          queue: queue, state: state, configuration: configuration, logger: logger, submit: submit
        ).run()
      }
      for (list, connection) in blocked {
        for lane in 1...2 {
          loops.addTask { await fetcher(list, lane: lane, connection, submit).run() }
        }
      }
    }
  }

  /// For the first stage of each pipeline.
  private func admissionFetchers(
    _ submit: @escaping @Sendable (Assignment) -> Void
  ) -> [String: StageFetcher] {
    var fetchers: [String: StageFetcher] = [:]
    for pipeline in configuration.pipelines {
      let list = StageList(pipeline: pipeline.name, stage: pipeline.stages[0].stage)
      fetchers[pipeline.name] = blocked[list].map { fetcher(list, lane: 3, $0, submit) }
    }
    return fetchers
  }

  private func fetcher(
    _ list: StageList, lane: Int, _ connection: BlockedConnection,
    _ submit: @escaping @Sendable (Assignment) -> Void
  ) -> StageFetcher {
    StageFetcher(
      list: list, lane: lane, queue: queue, state: state, settlement: runner.settlement,
      blocked: connection, configuration: configuration, logger: logger, submit: submit)
  }

  /// Nothing is claimed any more: running work is handed back, or may finish its stage where it is configured so.
  private func drain() {
    state.beginDrain()
    systemd.notify("STOPPING=1")
    systemd.tell("draining", of: queue.keys.prefix)
    logger.info("draining", metadata: ["running": .stringConvertible(state.leases.count)])
    for held in state.leases {
      if definitions[held.list]?.onDrain != .finish { held.cancel(.draining) }
    }
  }

  private func limitDrain() async throws {
    try await gracefulShutdown()
    let limit = ContinuousClock.now + .milliseconds(configuration.drainMilliseconds)
    try await Task.sleep(for: min(.seconds(1), .milliseconds(configuration.drainMilliseconds)))
    // Nobody's work is at stake: only calls that wait for a Redis that is away keep the process alive.
    if state.leases.isEmpty, !queue.client.isConnected { queue.client.end() }
    try await Task.sleep(until: limit, clock: .continuous)
    for held in state.leases { held.cancel(.draining) }
    try await Task.sleep(for: .seconds(3))
    // Claims and settlements are shielded from cancellation and wait for Redis however long it is away.
    queue.client.end()
    throw WorkerError(
      .drainLimit,
      "\(state.leases.count) stage jobs still ran at the drain limit (worker.drain_ms: raise it, or let handlers end sooner); another worker runs them again when their leases expire"
    )
  }
}
