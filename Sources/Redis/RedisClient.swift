public import Logging
internal import NIOCore
internal import NIOPosix
internal import Synchronization

/// Redis for many tasks: one shared connection that `run` keeps alive, and dedicated ones for
/// blocking commands.
public final class RedisClient: Sendable {
  private let configuration: RedisConfiguration
  private let logger: Logger
  private let prepare: @Sendable (RedisConnection) async throws -> Void
  private let shared: SharedConnection
  private let cluster: Cluster?
  private let reconnected = Mutex<@Sendable () -> Void>({})

  /// `prepare` runs on every new connection, shared or dedicated, before anybody else may use it. If
  /// it throws, the connection is closed and, for the shared one, tried again after a pause.
  public init(
    _ configuration: RedisConfiguration, logger: Logger,
    prepare: @escaping @Sendable (RedisConnection) async throws -> Void = { _ in }
  ) {
    self.configuration = configuration
    self.logger = logger
    self.prepare = prepare
    shared = SharedConnection(waitingCalls: configuration.waitingCalls)
    cluster = Cluster(configuration)
  }

  /// Whether the shared connection is up and prepared.
  public var isConnected: Bool { shared.isConnected }

  /// Why it is not connected, for a status line; nil while it is.
  public var lastFailure: String? { shared.failure }

  /// Runs `body` whenever the shared connection was lost and is there again: what broke it may have broken
  /// dedicated ones without a word.
  public func onReconnect(_ body: @escaping @Sendable () -> Void) {
    reconnected.withLock { $0 = body }
  }

  /// Keeps the shared connection alive, trying forever, until the task is cancelled; then closes it,
  /// and every call from then on fails with `closed`. Throws `configuration` at once if the
  /// certificate files cannot be used, or the keys are not in one slot of a cluster. Run it once.
  public func run() async throws {
    defer { shared.end() }
    _ = try TransportSecurity.context(configuration)
    try cluster?.check()
    var backoff = Backoff()
    while !Task.isCancelled {
      do {
        let connection = try await open(
          silence: .milliseconds(Int64(configuration.callTimeoutMilliseconds)))
        let start = NIODeadline.now()
        logger.info("connected to Redis", metadata: address)
        shared.begin(connection)
        reconnected.withLock { $0 }()
        let reason = await end(of: connection)
        await connection.close()
        guard !Task.isCancelled else { break }
        if NIODeadline.now() - start > .seconds(Backoff.successSeconds) { backoff.reset() }
        report(reason)
      } catch {
        guard !Task.isCancelled else { break }
        report((error as? RedisError)?.message ?? "\(error)")
      }
      try? await Task.sleep(for: .milliseconds(backoff.next()))
    }
  }

  /// Waits until the connection has ended or leads to the wrong place.
  /// - Returns: why it is of no use any more.
  private func end(of connection: RedisConnection) async -> String {
    guard case .sentinel(let hosts, let service, _) = configuration.endpoint else {
      await connection.untilClosed()
      return connection.closed?.message ?? "the connection ended"
    }
    return await withTaskGroup(of: String?.self) { group in
      group.addTask {
        await connection.untilClosed()
        return connection.closed?.message
      }
      let sentinels = Sentinels(hosts: hosts, service: service, configuration)
      group.addTask {
        await sentinels.untilReplaced(connection)
        return "the Sentinels name another primary"
      }
      let reason = await group.next() ?? nil
      group.cancelAll()
      return reason ?? "the connection ended"
    }
  }

  /// Sends one command on the shared connection and returns its reply. Waits up to its timeout for a
  /// connection: a command that was certainly not sent is sent on the next one. Throws `RedisError`
  /// (a server error too), or `CancellationError` at once when the task is cancelled.
  public func call(
    _ arguments: [RedisArgument], timeoutMilliseconds: Int? = nil
  ) async throws -> RedisValue {
    let deadline =
      NIODeadline.now()
      + .milliseconds(Int64(timeoutMilliseconds ?? configuration.callTimeoutMilliseconds))
    while true {
      let connection: RedisConnection
      if let current = shared.current {
        connection = current
      } else {
        connection = try await shared.connection(until: deadline)
      }
      do {
        return try await connection.call(arguments, deadline: deadline)
      } catch let error as RedisError where error.code == .notConnected || error.code == .closed {
        // It ended between being handed out and being used.
        shared.lose(connection, reason: error.message)
      }
    }
  }

  /// Opens a dedicated, prepared connection: for blocking commands, which would hold up every other
  /// call on the shared one. A call on it that outlives its timeout closes it. Tries once; the
  /// caller closes the connection and decides when to try again.
  public func connect() async throws -> RedisConnection {
    if shared.hasEnded { throw SharedConnection.ended }
    return try await open(silence: .nanoseconds(0))
  }

  /// Ends every call, waiting or later, with `closed`, although `run` goes on: for a caller that must
  /// stop while calls that nobody may cancel wait for a Redis that is away.
  public func end() { shared.end() }

  private func open(silence: TimeAmount) async throws -> RedisConnection {
    let connection = try await ConnectionOpener.open(
      configuration, cluster: cluster, silence: silence)
    do {
      try await prepare(connection)
      return connection
    } catch {
      await connection.close()
      throw error
    }
  }

  private func report(_ reason: String) {
    // Once per reason: a Redis that is away for a night is one line, not thousands.
    if shared.lose(reason: reason) {
      logger.warning(
        "no connection to Redis", metadata: address.merging(["error": "\(reason)"]) { $1 })
    }
  }

  private var address: Logger.Metadata { ["redis": "\(configuration.displayName)"] }
}
