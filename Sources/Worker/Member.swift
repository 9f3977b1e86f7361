internal import Glibc
internal import Logging
internal import Pipeline
internal import Queue
internal import Redis
internal import ServiceLifecycle
internal import Stores

/// What a worker is and does under one prefix.
struct Member: Service {
  let configuration: WorkerConfiguration
  let queue: Queue
  /// Where gates are; this one's, too.
  let gates: GateHomes
  let store: any ResultsStore
  let systemd: Systemd
  let farewell: Farewell
  let logger: Logger

  private var prefix: String { queue.keys.prefix }

  /// Runs until a graceful shutdown has handed the work back.
  /// - Throws: `WorkerError`, `QueueError`; what runs then is recovered by the next start or another worker.
  func run() async throws {
    let lock: InstanceLock
    do {
      lock = try InstanceLock(queue: queue.displayName, name: configuration.name)
    } catch {
      farewell.arrive()
      throw error
    }
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { try await queue.client.run() }
      group.addTask {
        do {
          defer {
            systemd.end(prefix)
            farewell.arrive()
          }
          try await work()
        }
        await farewell.wait()
      }
      try await group.next()
      group.cancelAll()
    }
    withExtendedLifetime(lock) {}
  }

  private func work() async throws {
    // The lock of the name holds for one spelling of Redis's address: of whoever uses another one it proves nothing.
    let lock = "\(configuration.lockReach)/\(queue.displayName)"
    let boot = "\(lock)/\(getpid())-\(UInt32.random(in: 0 ..< .max))"
    guard let recovered = try await untilStarted(boot: boot) else { return }
    let crew = Crew(
      configuration, queue: queue, gates: gates, store: store, systemd: systemd, boot: boot,
      logger: logger)
    // Every lease of the old epoch is lost: the handlers must hear it, and tick puts their batches back.
    queue.adoption.onNewEpoch {
      crew.state.hurryBeat()
      crew.state.planTick(at: .now)
    }
    // A blocked call may wait at a primary that was replaced, or on a way that broke without a word.
    queue.client.onReconnect { crew.state.noteReconnect() }
    systemd.ready(prefix, status: "running")
    try await crew.run(hasRecovered: recovered > 0)
    await leave()
    logger.info("worker stopped", metadata: ["worker": "\(configuration.name)"])
  }

  /// `start`, of which systemd hears meanwhile: a service whose Redis is away is up and waits, for a start that fails
  /// would hold up whatever waits for it, an upgrade of the package for one.
  private func untilStarted(boot: String) async throws -> Int? {
    try await withThrowingTaskGroup(of: Int?.self) { group in
      group.addTask { try await start(boot: boot) }
      group.addTask {
        while true {
          try await Task.sleep(for: .seconds(1))
          if let waiting = queue.waitingForRedis { systemd.ready(prefix, status: waiting) }
          systemd.attest(prefix)
        }
      }
      defer { group.cancelAll() }
      return try await group.next() ?? nil
    }
  }

  /// Registers, and takes back what an earlier life left. Waits for Redis as long as it takes.
  /// - Returns: how many leases were recovered; nil when a shutdown came first.
  private func start(boot: String) async throws -> Int? {
    do {
      return try await cancelWhenGracefulShutdown {
        try await checkRedis()
        try await checkPrefixes()
        try await takeName(boot: boot)
        try await confirmPrefixes()
        let recovered = try await queue.recover(maxCrashes: configuration.maxCrashes)
        logger.info(
          "worker started",
          metadata: ["worker": "\(configuration.name)", "recovered": .stringConvertible(recovered)])
        return recovered
      }
    } catch is CancellationError where Task.isShuttingDownGracefully {
      return nil
    }
  }

  private func register(boot: String) async throws {
    let differences = try await queue.register(
      boot: boot, host: configuration.host, pid: Int(getpid()), version: configuration.version,
      store: try await store.identity(),
      slots: configuration.pipelines.flatMap(\.stages).map(\.slots).reduce(0, +),
      quietMilliseconds: configuration.idleBeatMilliseconds + 2_000,
      pipelines: configuration.pipelines.map {
        .init(name: $0.name, stages: $0.stages.map(\.stage), counts: $0.counts)
      })
    for one in differences {
      logger.warning(
        "another worker has other stages for a pipeline; new batches go through this one's: give all the same [pipelines.\(one.pipeline)] and restart those of the old one",
        metadata: [
          "pipeline": "\(one.pipeline)", "stages": "\(one.stages)", "other": "\(one.otherWorker)",
          "other_stages": "\(one.otherStages)",
        ])
    }
  }

  /// Registers once nobody else bears the name. After a reboot or in a new container the earlier life looks like another
  /// machine: if it is one, a clone, its next beat shows that it lives; if not, it stays silent.
  /// - Throws: `QueueError` with `.twin`.
  private func takeName(boot: String) async throws {
    var heard: Double?
    while true {
      do {
        return try await register(boot: boot)
      } catch let error as QueueError where error.code == .twin {
        let beat = try await queue.lastBeat()
        if let heard, let beat, beat > heard { throw error }
        if heard == nil {
          logger.warning(
            "another worker of this name was heard a moment ago; waiting whether it lives",
            metadata: ["worker": "\(configuration.name)", "error": "\(error)"])
        }
        heard = beat ?? heard
        try await Task.sleep(for: .seconds(1))
      }
    }
  }

  /// Says goodbye; without Redis within a second, tick finds out instead.
  private func leave() async {
    await withTaskGroup { group in
      group.addTask { try? await queue.leave() }
      group.addTask { try? await Task.sleep(for: .seconds(1)) }
      await group.next()
      group.cancelAll()
    }
  }

  /// Another list, or order, would be another home for accounts and gates: two of them for one, each with a rate of its own.
  /// - Throws: `WorkerError` with `.otherPrefixes` while workers with another list live.
  private func checkPrefixes() async throws {
    let own = queue.prefixes.names.joined(separator: " ")
    let meta = RedisArgument.text(queue.keys.meta)
    // Who has registered has said its list before; a release that knew of one prefix only said nothing.
    let others = try await livingWorkers().filter { $0 != configuration.name }
    if others.isEmpty || prefix == own {
      _ = try await queue.read(["HSETNX", meta, "prefixes", .text(own)])
    }
    let known = try await knownPrefixes()
    guard known != own else { return }
    if let other = others.first { throw otherPrefixes("worker \(other) serves", known) }
    _ = try await queue.read(["HSET", meta, "prefixes", .text(own)])
  }

  /// Of two that start at one moment the one that wrote last has its list there.
  private func confirmPrefixes() async throws {
    let known = try await knownPrefixes()
    // Redis may have been emptied meanwhile.
    guard let known, known != queue.prefixes.names.joined(separator: " ") else { return }
    throw otherPrefixes("another worker started with", known)
  }

  private func knownPrefixes() async throws -> String? {
    try await queue.read(["HGET", .text(queue.keys.meta), "prefixes"]).text
  }

  /// Those that were heard: who died without a word stays registered until somebody's tick, which needs a worker.
  private func livingWorkers() async throws -> [String] {
    let time = try await queue.read(["TIME"]).array?.first?.integer ?? 0
    let flat =
      try await queue.read(["ZRANGE", .text(queue.keys.workers), 0, -1, "WITHSCORES"])
      .array?.compactMap(\.text) ?? []
    return stride(from: 0, to: flat.count - 1, by: 2).compactMap { at in
      let beat = Double(flat[at + 1]) ?? 0
      return beat > Double(time - Self.silenceSeconds) * 1_000 ? flat[at] : nil
    }
  }

  /// After which a worker counts as dead (tick.lua).
  private static let silenceSeconds = 30

  private func otherPrefixes(_ who: String, _ known: String?) -> WorkerError {
    WorkerError(
      .otherPrefixes,
      "\(who) the prefixes \(known ?? prefix), this one \(queue.prefixes.names.joined(separator: " ")): give all the same list in the same order; to change it, let the queue run empty and stop all workers first"
    )
  }

  /// A Redis that evicts keys loses batches silently.
  private func checkRedis() async throws {
    let reply = try await queue.read(["INFO", "memory"])
    let policy = (reply.text ?? "").split(whereSeparator: \.isNewline)
      .first { $0.hasPrefix("maxmemory_policy:") }?.split(separator: ":").last
    guard let policy, policy != "noeviction" else { return }
    throw WorkerError(
      .unsuitableRedis,
      "Redis evicts keys when it is full (maxmemory-policy \(policy)), and batches with them; set it: CONFIG SET maxmemory-policy noeviction"
    )
  }
}
