internal import NIOCore
internal import Synchronization

/// What callers (any thread) and the handler (its event loop) share: the state machine and the bytes
/// to send, under one lock that is held for moments only. A call enters the line and is resumed
/// without a hop; the first one of a tick asks the event loop to flush, the rest ride along.
final class ConnectionCore: Sendable {
  typealias Waiter = CheckedContinuation<RedisValue, any Error>
  typealias Machine = CallStateMachine<Waiter>

  private struct State: Sendable {
    var machine: Machine
    var unsent = ByteBuffer()
    var isFlushScheduled = false
  }

  /// What the handler has to write and when it has to look at the deadlines.
  struct Flush: Sendable {
    let bytes: ByteBuffer?
    let nextCheck: NIODeadline?
  }

  private static let reservedBytes = 64 << 10

  private let state: Mutex<State>

  init(waitingCalls: Int, silence: TimeAmount) {
    state = Mutex(State(machine: Machine(waitingCalls: waitingCalls, silence: silence)))
  }

  /// Why the connection is closed; nil while it is open.
  var closed: RedisError? { state.withLock { $0.machine.closed } }

  /// When `check` has something to do; nil while no call waits.
  var nextCheck: NIODeadline? { state.withLock { $0.machine.nextCheck } }

  /// Puts a call into the line and its commands, which it frees, into what is sent next. `ticket` is
  /// set under the lock: a cancellation that finds it unset is one that `Task.isCancelled` shows
  /// afterwards. True: the caller of this must have the event loop flush.
  func submit(
    _ commands: some Sequence<FormattedCommand>, replies: Int, deadline: NIODeadline,
    waiter: Waiter, ticket: borrowing Atomic<UInt64>
  ) -> Bool {
    let (action, mustFlush) = state.withLock { state -> (Machine.Action, Bool) in
      guard state.unsent.readableBytes <= RedisLimits.unsentBytes else {
        return (.refuse(waiter, .unsentBytes), false)
      }
      let action = state.machine.submit(
        waiter, replies: replies, now: .now(), deadline: deadline)
      guard case .send(let place) = action else { return (action, false) }
      ticket.store(place, ordering: .relaxed)
      for command in commands { state.unsent.writeBytes(command.bytes) }
      defer { state.isFlushScheduled = true }
      return (action, !state.isFlushScheduled)
    }
    for command in commands { command.free() }
    perform(action)
    return mustFlush
  }

  func cancel(ticket: borrowing Atomic<UInt64>) {
    perform(
      state.withLock { state in
        state.machine.cancel(ticket: ticket.load(ordering: .relaxed))
      })
  }

  /// What is to be written now. With `canWrite` false the bytes stay, where `submit` counts them.
  func flush(canWrite: Bool) -> Flush {
    state.withLock { state in
      state.isFlushScheduled = false
      let nextCheck = state.machine.nextCheck
      guard canWrite, state.unsent.readableBytes > 0 else {
        return Flush(bytes: nil, nextCheck: nextCheck)
      }
      // The next tick will want about as much: growing from nothing costs a copy per doubling.
      let bytes = state.unsent
      state.unsent = ByteBufferAllocator().buffer(
        capacity: min(bytes.readableBytes, Self.reservedBytes))
      return Flush(bytes: bytes, nextCheck: nextCheck)
    }
  }

  /// Hands out replies in their order, all of one read under one lock. True: close the connection.
  func receive(_ values: [RedisValue]) -> Bool {
    let actions = state.withLock { state in
      state.machine.hear(now: .now())
      return values.map { state.machine.receive($0) }
    }
    return actions.reduce(false) { perform($1) || $0 }
  }

  /// Ends overdue calls. True: close the connection.
  func check() -> Bool { perform(state.withLock { $0.machine.check(now: .now()) }) }

  func close(_ error: RedisError, later: RedisError? = nil) {
    perform(
      state.withLock { state in
        state.unsent = ByteBuffer()
        return state.machine.close(error, later: later)
      })
  }

  @discardableResult
  private func perform(_ action: Machine.Action) -> Bool {
    switch action {
    case .none, .send: break
    case .deliver(let waiter, let value): waiter.resume(returning: value)
    case .cancel(let waiter): waiter.resume(throwing: CancellationError())
    case .refuse(let waiter, let error): waiter.resume(throwing: error)
    case .fail(let failures): fail(failures)
    case .close(let failures):
      fail(failures)
      return true
    }
    return false
  }

  private func fail(_ failures: [Machine.Failure]) {
    for failure in failures { failure.waiter.resume(throwing: failure.error) }
  }
}

extension RedisError {
  fileprivate static let unsentBytes = RedisError(
    code: .tooManyCalls,
    message: "\(RedisLimits.unsentBytes) bytes wait for Redis, which does not read them")
}
