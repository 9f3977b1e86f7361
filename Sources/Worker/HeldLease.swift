internal import Queue
import Synchronization

/// One lease that this worker holds, with the handler that runs under it.
final class HeldLease: Sendable {
  /// Why a handler is told to stop.
  enum Reason: Sendable, Equatable {
    /// The lease is another's, or its local deadline has passed.
    case lost
    case cancelled
    case draining
    case timedOut
  }

  private struct State {
    var deadline: ContinuousClock.Instant
    var timeout: ContinuousClock.Instant?
    var reason: Reason?
    var stop: (@Sendable () -> Void)?
  }

  let lease: Lease
  let list: StageList
  private let span: Duration
  private let state: Mutex<State>

  /// - Parameter sent: the moment before the claim was sent. The local deadline counts from there, less a tenth of
  ///   the lease: the worker must have stopped before Redis lets another one begin.
  init(_ claim: Claim, sent: ContinuousClock.Instant, leaseMilliseconds: Int) {
    lease = claim.lease
    list = claim.list
    span = .milliseconds(leaseMilliseconds - leaseMilliseconds / 10)
    state = Mutex(State(deadline: sent + span))
  }

  func renewed(sent: ContinuousClock.Instant) {
    state.withLock { $0.deadline = max($0.deadline, sent + span) }
  }

  /// Ties a task to the lease; stops it at once when the lease ended meanwhile.
  func start(timeoutMilliseconds: Int, stop: @escaping @Sendable () -> Void) {
    let stopped = state.withLock { state in
      state.stop = stop
      state.timeout = .now + .milliseconds(timeoutMilliseconds)
      return state.reason != nil
    }
    if stopped { stop() }
  }

  /// The handler has returned: its timeout is over, and nothing but the settlement is left.
  func ended() {
    state.withLock { state in
      state.stop = nil
      state.timeout = nil
    }
  }

  /// Tells the handler to stop. The first reason stays, but for one: work that was to be handed back may be lost.
  func cancel(_ reason: Reason) {
    let stop = state.withLock { state in
      if state.reason == nil || reason == .lost || reason == .cancelled { state.reason = reason }
      return state.stop
    }
    stop?()
  }

  /// Why the handler was told to stop; nil when it was not.
  var reason: Reason? { state.withLock { $0.reason } }

  /// Whether nothing may be done under the lease any more.
  var isOver: Bool { reason == .lost || reason == .cancelled }

  /// Stops the handler when its time or the lease's is over.
  func check(now: ContinuousClock.Instant) {
    let late: Reason? = state.withLock { state in
      if now >= state.deadline { return .lost }
      if let timeout = state.timeout, now >= timeout, state.reason == nil { return .timedOut }
      return nil
    }
    if let late { cancel(late) }
  }
}
