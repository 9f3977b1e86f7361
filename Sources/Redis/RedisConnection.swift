internal import NIOCore
internal import Synchronization

/// One connection, with AUTH and SELECT done. Many tasks may call at once; replies never mix.
/// Commands after which Redis sends what nobody asked for (SUBSCRIBE, MONITOR) are not for it.
public final class RedisConnection: Sendable {
  private let channel: any Channel
  private let handler: NIOLoopBound<ConnectionHandler>
  private let core: ConnectionCore
  private let callTimeoutMilliseconds: Int
  /// Where it leads; behind Sentinels the address that they named.
  let endpoint: RedisConfiguration.Endpoint
  private let role: ServerRole

  /// On the channel's event loop only. `silence`: how long an overdue peer may say nothing before
  /// the connection is closed.
  init(
    channel: any Channel, configuration: RedisConfiguration, role: ServerRole, silence: TimeAmount
  ) throws {
    self.channel = channel
    self.role = role
    callTimeoutMilliseconds = configuration.callTimeoutMilliseconds
    endpoint = configuration.endpoint
    core = ConnectionCore(waitingCalls: configuration.waitingCalls, silence: silence)
    let handler = ConnectionHandler(core: core, replyBytes: configuration.replyBytes)
    self.handler = NIOLoopBound(handler, eventLoop: channel.eventLoop)
    try channel.pipeline.syncOperations.addHandler(handler)
  }

  deinit { channel.close(promise: nil) }

  /// Sends one command and returns its reply. Throws `RedisError` (a server error too), or
  /// `CancellationError` at once when the task is cancelled. For a blocking command give its block
  /// time plus a grace; on a dedicated connection the connection is closed when that is over.
  public func call(
    _ arguments: [RedisArgument], timeoutMilliseconds: Int? = nil
  ) async throws -> RedisValue {
    try await call(arguments, deadline: deadline(timeoutMilliseconds))
  }

  func call(_ arguments: [RedisArgument], deadline: NIODeadline) async throws -> RedisValue {
    let value = heard(try await reply(to: arguments, deadline: deadline))
    guard case .error(let error) = value else { return value }
    throw error
  }

  /// As `call`, but a server error is a value, in Redis's words, and ends nothing.
  func reply(to arguments: [RedisArgument], deadline: NIODeadline) async throws -> RedisValue {
    #if FAILPOINTS
      if let refusal = Self.failBefore([arguments]) { return .error(refusal) }
    #endif
    let command = CollectionOfOne(try CommandFormatter.format(arguments))
    let value = try await exchange(command, replies: 1, deadline: deadline)
    #if FAILPOINTS
      try failAfter([arguments], value)
    #endif
    return value
  }

  /// What becomes of a reply: a refusal is told in words, and may end the connection.
  private func heard(_ value: RedisValue) -> RedisValue {
    guard case .error(let error) = value else { return value }
    guard let reason = role.parting(error, of: endpoint) else {
      return .error(Redirection.explained(error))
    }
    // Nothing was executed. The connection would stay open for as long as the server lives, and refuse.
    let parting = RedisError(code: .notConnected, message: reason)
    core.close(parting)
    channel.close(promise: nil)
    return .error(parting)
  }

  /// Sends commands in one write and returns their replies in order; server errors are values,
  /// with `notConnected` for a command that was refused because the server is not the one for it any more.
  /// `replies` is less than the number of commands where CLIENT REPLY SKIP suppresses some.
  public func callAll(
    _ commands: [[RedisArgument]], timeoutMilliseconds: Int? = nil, replies: Int? = nil
  ) async throws -> [RedisValue] {
    let count = replies ?? commands.count
    guard count > 0, count <= commands.count else {
      if commands.isEmpty, count == 0 { return [] }
      throw RedisError(
        code: .invalidCommand, message: "\(commands.count) commands cannot have \(count) replies")
    }
    #if FAILPOINTS
      if let refusal = Self.failBefore(commands) {
        return [RedisValue](repeating: .error(refusal), count: count)
      }
    #endif
    let value = try await exchange(
      CommandFormatter.format(commands), replies: count, deadline: deadline(timeoutMilliseconds))
    #if FAILPOINTS
      try failAfter(commands, value)
    #endif
    return (count == 1 ? [value] : value.array ?? []).map(heard)
  }

  /// Closes the connection. Calls that wait fail with `connectionLost`, later ones with `closed`.
  public func close() async {
    beginClose()
    try? await channel.closeFuture.get()
  }

  /// Why it is closed; nil while it is open.
  var closed: RedisError? { core.closed }

  /// Returns when the connection has ended, for whatever reason, or closes it when cancelled.
  func untilClosed() async {
    await withTaskCancellationHandler {
      try? await channel.closeFuture.get()
    } onCancel: {
      beginClose()
    }
  }

  func beginClose() {
    let reason = "the connection was closed on this side"
    core.close(
      RedisError(code: .connectionLost, message: reason),
      later: RedisError(code: .closed, message: reason))
    channel.close(promise: nil)
  }

  private func deadline(_ timeoutMilliseconds: Int?) -> NIODeadline {
    .now() + .milliseconds(Int64(timeoutMilliseconds ?? callTimeoutMilliseconds))
  }

  private func exchange(
    _ commands: some Sequence<FormattedCommand>, replies: Int, deadline: NIODeadline
  ) async throws -> RedisValue {
    let ticket = Atomic<UInt64>(0)
    return try await withTaskCancellationHandler {
      try await withCheckedThrowingContinuation { waiter in
        let mustFlush = core.submit(
          commands, replies: replies, deadline: deadline, waiter: waiter, ticket: ticket)
        // A cancellation that came before the ticket was set found nothing to cancel.
        if Task.isCancelled { core.cancel(ticket: ticket) }
        guard mustFlush else { return }
        // At once where that is possible: Redis works on this call while the next one is prepared here.
        if channel.eventLoop.inEventLoop {
          handler.value.flush()
        } else {
          channel.eventLoop.execute { [handler] in handler.value.flush() }
        }
      }
    } onCancel: {
      core.cancel(ticket: ticket)
    }
  }
}
