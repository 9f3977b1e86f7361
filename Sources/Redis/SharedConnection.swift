internal import NIOCore
internal import Synchronization

/// The shared connection of a client as its callers see it: there, awaited, or gone for good.
final class SharedConnection: Sendable {
  private typealias Waiter = CheckedContinuation<RedisConnection, any Error>

  private struct State: Sendable {
    var connection: RedisConnection?
    var failure: String? = "not connected yet"
    var hasEnded = false
    var waiters: [UInt64: Waiter] = [:]
    var nextID: UInt64 = 0
  }

  static let ended = RedisError(code: .closed, message: "the Redis client has been shut down")

  private let waitingCalls: Int
  private let state = Mutex(State())

  init(waitingCalls: Int) { self.waitingCalls = waitingCalls }

  var isConnected: Bool { state.withLock { $0.connection.map { $0.closed == nil } ?? false } }
  var failure: String? {
    state.withLock { $0.connection == nil ? $0.failure : $0.connection?.closed?.message }
  }
  var hasEnded: Bool { state.withLock { $0.hasEnded } }

  func begin(_ connection: RedisConnection) {
    let waiters = state.withLock { state in
      state.connection = connection
      state.failure = nil
      defer { state.waiters = [:] }
      return state.waiters
    }
    for waiter in waiters.values { waiter.resume(returning: connection) }
  }

  /// True if the reason is news. With a connection given, only if that is still the current one.
  @discardableResult
  func lose(_ connection: RedisConnection? = nil, reason: String) -> Bool {
    state.withLock { state in
      if let connection, state.connection !== connection { return false }
      state.connection = nil
      defer { if connection == nil { state.failure = reason } }
      return state.failure != reason
    }
  }

  func end() {
    let waiters = state.withLock { state in
      state.hasEnded = true
      state.connection = nil
      state.failure = Self.ended.message
      defer { state.waiters = [:] }
      return state.waiters
    }
    for waiter in waiters.values { waiter.resume(throwing: Self.ended) }
  }

  /// The connection that is there. It may have ended a moment ago, which its next call notices.
  var current: RedisConnection? { state.withLock { $0.connection } }

  /// The connection, as soon as there is one. Throws `notConnected` at the deadline.
  func connection(until deadline: NIODeadline) async throws -> RedisConnection {
    let id = state.withLock { state in
      state.nextID += 1
      return state.nextID
    }
    let timer = RedisExecutor.shared.loop.scheduleTask(deadline: deadline) {
      self.fail(id, with: Self.timeout)
    }
    defer { timer.cancel() }
    return try await withTaskCancellationHandler {
      try await withCheckedThrowingContinuation { waiter in
        add(waiter, id)
        // A cancellation, or the deadline, that came before found nobody to wake.
        if Task.isCancelled { fail(id, with: Self.cancelled) }
        if NIODeadline.now() >= deadline { fail(id, with: Self.timeout) }
      }
    } onCancel: {
      fail(id, with: Self.cancelled)
    }
  }

  private func add(_ waiter: Waiter, _ id: UInt64) {
    let result = state.withLock { state -> Result<RedisConnection, any Error>? in
      if state.hasEnded { return .failure(Self.ended) }
      if let connection = state.connection {
        if connection.closed == nil { return .success(connection) }
        state.connection = nil
      }
      guard state.waiters.count < waitingCalls else {
        return .failure(
          RedisError(
            code: .tooManyCalls, message: "\(waitingCalls) calls wait for a connection already"))
      }
      state.waiters[id] = waiter
      return nil
    }
    if let result { waiter.resume(with: result) }
  }

  private func fail(_ id: UInt64, with error: (State) -> any Error) {
    let (waiter, error) = state.withLock { state in
      (state.waiters.removeValue(forKey: id), error(state))
    }
    waiter?.resume(throwing: error)
  }

  private static func cancelled(_ state: State) -> any Error { CancellationError() }

  private static func timeout(_ state: State) -> any Error {
    RedisError(
      code: .notConnected,
      message: "no connection to Redis: \(state.failure ?? "it has just ended")")
  }
}
