public import Logging
public import Pipeline
public import Redis

/// The protocol's verbs on one Redis under one prefix, for one worker. Functions/helpers.lua explains the protocol.
///
/// Every verb is repeatable, so a call whose reply was lost is sent again until it is answered or its task is
/// cancelled. What Redis will get over by itself (away, loading, full, read-only) is waited out.
public struct Queue: Sendable {
  public let keys: Keys
  /// This one and all that are served beside it: they say which accounts belong here.
  public let prefixes: Prefixes
  public let client: RedisClient
  public let adoption: Adoption
  /// The worker in whose name leases are held.
  public let worker: String
  public let limits: Limits
  /// Redis and prefix, for people; never holds a password.
  public let displayName: String
  let logger: Logger

  /// - Parameters:
  ///   - prefixes: nil when there is no other; `prefix` is one of them.
  ///   - store: reads and raises the epoch that the results store knows.
  ///   - now: for a test that owns the clock: what it shows whenever a connection is adopted.
  public init(
    _ configuration: RedisConfiguration, prefix: String, of prefixes: Prefixes? = nil,
    worker: String, limits: Limits, store: Adoption.EpochStore, now: (@Sendable () -> Int)? = nil,
    logger: Logger
  ) {
    var configuration = configuration
    configuration.slotKey = prefix
    let keys = Keys(prefix: prefix)
    let adoption = Adoption(keys: keys, store: store, now: now)
    self.keys = keys
    self.prefixes = prefixes ?? Prefixes([prefix])
    self.adoption = adoption
    self.worker = worker
    self.limits = limits
    displayName = "\(configuration.displayName)#\(prefix)"
    self.logger = logger
    client = RedisClient(configuration, logger: logger) { try await adoption.prepare($0) }
  }

  /// Loads the function library where it is missing or older, for a program that only watches and commands.
  /// - Returns: the revision in force.
  public static func loadFunctions(on connection: RedisConnection) async throws -> Int {
    try await FunctionCode.library.load(on: connection)
  }

  /// Calls one function until it is answered.
  /// - Parameters:
  ///   - arguments: after the epoch; asked for anew for each attempt.
  ///   - waitsForMemory: whether a Redis without memory is waited out here, or is the caller's to tell people of.
  /// - Throws: `QueueError` when the function refuses, `CancellationError`.
  public func call(
    _ function: String, _ arguments: @autoclosure () -> [RedisArgument], now: Int? = nil,
    waitsForMemory: Bool = true
  ) async throws -> RedisValue {
    try await repeated("batchd_\(function)", waitsForMemory: waitsForMemory) {
      // Until Redis knows this worker again, it may reject entries of its pipelines and take its beat for a twin's.
      if function != "register", let registration = adoption.staleRegistration {
        logger.notice("Redis may have forgotten this worker; registering again")
        _ = try await callOnce("register", registration, now: now)
      }
      return try await callOnce(function, arguments(), now: now)
    }
  }

  private func callOnce(
    _ function: String, _ arguments: [RedisArgument], now: Int?
  ) async throws -> RedisValue {
    let (epoch, stamp) = adoption.stamp(ownsClock: now != nil)
    var command = functionCall(function, stamp, arguments)
    if let now { command.append(.integer(now)) }
    let reply = try await client.call(command)
    if function == "register" { adoption.noteRegistration(arguments, in: epoch) }
    return reply
  }

  func functionCall(
    _ function: String, _ stamp: String, _ arguments: [RedisArgument]
  ) -> [RedisArgument] {
    ["FCALL", .text("batchd_\(function)"), 1, .text(keys.prefix), .text(stamp)] + arguments
  }

  /// Sends a command that only reads until it is answered.
  /// - Throws: `QueueError` when Redis refuses for good, `CancellationError`.
  public func read(_ command: [RedisArgument]) async throws -> RedisValue {
    var name = ""
    if case .text(let verb)? = command.first { name = verb }
    return try await repeated(name) { try await client.call(command) }
  }

  private func repeated(
    _ name: String, waitsForMemory: Bool = true, _ send: () async throws -> RedisValue
  ) async throws -> RedisValue {
    var waits = 0
    while true {
      try Task.checkCancellation()
      do {
        return try await send()
      } catch let error as RedisError {
        if error.serverCode == "OOM", !waitsForMemory { throw error }
        try await recover(from: error, name, waits: &waits)
      }
    }
  }

  /// Does what makes the call worth repeating, or throws.
  private func recover(from error: RedisError, _ name: String, waits: inout Int) async throws {
    let isForgotten = error.serverCode == "UNREGISTERED" && adoption.doubtRegistration()
    if error.serverCode == "EPOCH" || error.serverCode == "CLOCK" || isForgotten {
      // The first time it helps; what does not must not be asked for in a tight loop. Perhaps somebody loaded an older
      // library, and a new connection loads ours.
      if waits == 0 {
        if !isForgotten { try await readopt() }
        waits = 1
        return
      }
      try await reload()
    } else if RedisFunctionLibrary.isMissing(error) || error.serverCode == "BADARG" && waits == 0 {
      // Of BADARG perhaps an older worker was the first to load its library after a FUNCTION FLUSH.
      try await reload()
    } else if !error.isPassing {
      throw error.code == .server ? QueueError(error) : error
    }
    if waits % 20 == 0 {
      logger.warning(
        "Redis cannot answer; waiting", metadata: ["call": "\(name)", "error": "\(error)"])
    }
    waits += 1
    try await Task.sleep(for: .milliseconds(min(50 * waits, 1_000)))
  }

  /// Loads the library, and adopts, as the preparation of any connection does.
  private func reload() async throws {
    try await remedy { try await client.connect().close() }
  }

  /// Runs what may help. That it fails, too, while Redis or the store is away ends nobody's work: the call is repeated.
  private func remedy(_ body: () async throws -> Void) async throws {
    do {
      try await body()
    } catch let error as RedisError where error.code == .closed || error.code == .configuration {
      throw error
    } catch let error as CancellationError {
      throw error
    } catch {
      logger.warning("Redis cannot be adopted yet; waiting", metadata: ["error": "\(error)"])
    }
  }

  /// Finds the epoch in force, if Redis and the store can be reached.
  /// - Parameter doubtsFence: whether Redis gave out a fence for the second time, and a new epoch must begin.
  public func readopt(doubtsFence: Bool = false) async throws {
    let clock = adoption.clock
    try await remedy {
      try await adoption.adopt(doubtsFence ? .fence : nil) { try await client.call($0) }
    }
    if let clock, let now = adoption.clock, abs(now.now - clock.now) > 1_000 {
      logger.warning(
        "Redis's clock jumped", metadata: ["by_ms": .stringConvertible(now.now - clock.now)])
    }
  }
}

extension RedisError {
  /// Whether the same call may succeed later without anybody changing it.
  public var isPassing: Bool {
    switch code {
    case .notConnected, .connectionLost, .deadlineExceeded, .tooManyCalls: true
    case .server:
      [
        "LOADING", "BUSY", "OOM", "MISCONF", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "ASK",
        "TRYAGAIN", "NOREPLICAS", "UNKILLABLE", "NOPERM", "NOAUTH", "EXECABORT",
      ].contains(serverCode)
    default: false
    }
  }
}
