internal import NIOCore
internal import NIOPosix
internal import NIOSSL
internal import Synchronization

#if canImport(Glibc)
  internal import Glibc
#elseif canImport(Musl)
  internal import Musl
#elseif canImport(Darwin)
  internal import Darwin
#endif

/// Opens connections: transport, TLS, AUTH, SELECT; by way of the Sentinels or the cluster where there is one.
enum ConnectionOpener {
  /// How soon a peer that vanished without a word is noticed on a connection where nothing is sent.
  private enum KeepAlive {
    static let idleSeconds = 3
    static let everySeconds = 1
    static let probes = 2
    static let unacknowledgedMilliseconds = 5_000
  }

  /// Throws `notConnected`, `configuration`, `server` while a cluster moves the keys, or CancellationError; nothing is left
  /// open then.
  static func open(
    _ configuration: RedisConfiguration, cluster: Cluster?, silence: TimeAmount
  ) async throws -> RedisConnection {
    do {
      if let cluster { return try await cluster.connect(silence: silence) }
      if case .sentinel(let hosts, let service, _) = configuration.endpoint {
        return try await Sentinels(hosts: hosts, service: service, configuration)
          .connect(silence: silence)
      }
    } catch let error as RedisError where error.code == .notConnected {
      throw notConnected(configuration, error.message)
    }
    return try await open(configuration, as: .primary, silence: silence)
  }

  /// Opens a connection to the very address of the configuration; `role` is what has to be there.
  static func open(
    _ configuration: RedisConfiguration, as role: ServerRole, silence: TimeAmount
  ) async throws -> RedisConnection {
    let deadline =
      NIODeadline.now() + .milliseconds(Int64(configuration.connectTimeoutMilliseconds))
    let connection = try await connect(configuration, as: role, silence: silence)
    do {
      try await Handshake.perform(
        on: connection, configuration, role: role, deadline: deadline)
      return connection
    } catch let error as RedisError {
      // A transport that failed meanwhile (TLS, most often) knows more than the call does.
      let reason = error.code == .server ? error : connection.closed ?? error
      await connection.close()
      throw notConnected(configuration, as: role, reason.message)
    } catch {
      await connection.close()
      throw error
    }
  }

  private static func connect(
    _ configuration: RedisConfiguration, as role: ServerRole, silence: TimeAmount
  ) async throws -> RedisConnection {
    let context = try TransportSecurity.context(configuration)
    // NIO's connect does not see cancellation; its channels do.
    let attempts = ConnectAttempts()
    let bootstrap = bootstrap(configuration)
    let initialize: @Sendable (any Channel) -> EventLoopFuture<RedisConnection> = { channel in
      attempts.add(channel)
      return channel.eventLoop.makeCompletedFuture {
        if let context, case .tcp(let host, _, _) = configuration.endpoint {
          try channel.pipeline.syncOperations.addHandler(
            TransportSecurity.handler(context, host: host))
        }
        return try RedisConnection(
          channel: channel, configuration: configuration, role: role, silence: silence)
      }
    }
    do {
      return try await withTaskCancellationHandler {
        switch configuration.endpoint {
        case .unix(let path):
          try await bootstrap.connect(
            unixDomainSocketPath: path, channelInitializer: initialize)
        case .tcp(let host, let port, _):
          try await bootstrap.connect(host: host, port: port, channelInitializer: initialize)
        case .sentinel, .cluster:
          throw RedisError(code: .configuration, message: "nobody was asked for an address")
        }
      } onCancel: {
        attempts.cancel()
      }
    } catch {
      try Task.checkCancellation()
      throw notConnected(configuration, as: role, TransportFailure.text(of: error))
    }
  }

  private static func bootstrap(_ configuration: RedisConfiguration) -> ClientBootstrap {
    let bootstrap = ClientBootstrap(group: RedisExecutor.shared.loop)
      .connectTimeout(.milliseconds(Int64(configuration.connectTimeoutMilliseconds)))
    guard case .tcp = configuration.endpoint else { return bootstrap }
    let common =
      bootstrap
      .channelOption(.tcpOption(.tcp_nodelay), value: 1)
      .channelOption(.socketOption(.so_keepalive), value: 1)
    #if os(Linux)
      return
        common
        .channelOption(tcp(TCP_KEEPIDLE), value: KeepAlive.idleSeconds)
        .channelOption(tcp(TCP_KEEPINTVL), value: KeepAlive.everySeconds)
        .channelOption(tcp(TCP_KEEPCNT), value: KeepAlive.probes)
        .channelOption(tcp(TCP_USER_TIMEOUT), value: KeepAlive.unacknowledgedMilliseconds)
    #else
      return common
    #endif
  }

  private static func tcp(_ name: CInt) -> ChannelOptions.Types.SocketOption {
    ChannelOptions.Types.SocketOption(level: .tcp, name: NIOBSDSocket.Option(rawValue: name))
  }

  static func notConnected(
    _ configuration: RedisConfiguration, as role: ServerRole = .primary, _ reason: String
  ) -> RedisError {
    let what = role == .sentinel ? "Sentinel" : "Redis"
    return RedisError(
      code: .notConnected,
      message: "cannot use \(what) at \(configuration.displayName): \(reason)")
  }
}

/// The channels of one attempt to connect (one for each address of a host), so that a cancelled
/// task need not wait for the connect timeout.
private final class ConnectAttempts: Sendable {
  private struct State {
    var channels: [any Channel] = []
    var isCancelled = false
  }

  private let state = Mutex(State())

  func add(_ channel: any Channel) {
    let isCancelled = state.withLock { state in
      state.channels.append(channel)
      return state.isCancelled
    }
    if isCancelled { channel.close(promise: nil) }
  }

  func cancel() {
    let channels = state.withLock { state in
      state.isCancelled = true
      return state.channels
    }
    for channel in channels { channel.close(promise: nil) }
  }
}
