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
    var isAlone: Bool
    var deadline: ContinuousClock.Instant
    var timeout: ContinuousClock.Instant?
    var reason: Reason?
    var told: ContinuousClock.Instant?
    var stop: (@Sendable () -> Void)?
    var abandon: (@Sendable () -> Void)?
    var isAbandoned = false
  }

  /// How long a handler that was told to stop is waited for. Less than the three seconds that a drain lasts beyond its
  /// limit: what ignores its cancellation is handed back too.
  private static let patience = Duration.seconds(2)

  let lease: Lease
  let list: StageList
  let metrics: StageMetrics
  private let span: Duration
  private let state: Mutex<State>

  /// - Parameter sent: the moment before the claim was sent. The local deadline counts from there, less a tenth of
  ///   the lease: the worker must have stopped before Redis lets another one begin.
  init(
    _ claim: Claim, sent: ContinuousClock.Instant, leaseMilliseconds: Int, metrics: StageMetrics
  ) {
    lease = claim.lease
    list = claim.list
    self.metrics = metrics
    span = .milliseconds(leaseMilliseconds - leaseMilliseconds / 10)
    state = Mutex(State(isAlone: claim.isAlone, deadline: sent + span))
  }

  /// A suspect, which runs in the one place beside the slots.
  var isAlone: Bool { state.withLock { $0.isAlone } }

  /// A suspect has made progress and is none any more: it goes on in a slot, if `takeSlot` finds one free, so that the
  /// next suspect need not wait for its end.
  /// - Returns: whether it left its place just now.
  func join(_ takeSlot: () -> Bool) -> Bool {
    state.withLock { state in
      guard state.isAlone, takeSlot() else { return false }
      state.isAlone = false
      return true
    }
  }

  func renewed(sent: ContinuousClock.Instant) {
    state.withLock { $0.deadline = max($0.deadline, sent + span) }
  }

  /// Ties a handler to the lease; stops it at once when the lease ended meanwhile.
  /// - Parameter abandon: called once when the handler goes on for long after `stop`.
  func start(
    timeoutMilliseconds: Int, stop: @escaping @Sendable () -> Void,
    abandon: @escaping @Sendable () -> Void
  ) {
    let stopped = state.withLock { state in
      state.stop = stop
      state.abandon = abandon
      state.timeout = .now + .milliseconds(timeoutMilliseconds)
      return state.reason != nil
    }
    if stopped { stop() }
  }

  /// The handler has returned: its timeout is over, and nothing but the settlement is left.
  /// - Returns: whether that is the caller's; not when the handler was given up before.
  func ended() -> Bool {
    state.withLock { state in
      state.stop = nil
      state.abandon = nil
      state.timeout = nil
      return !state.isAbandoned
    }
  }

  /// Tells the handler to stop. The first reason stays, but for one: work that was to be handed back may be lost.
  func cancel(_ reason: Reason) {
    let stop = state.withLock { state in
      if state.reason == nil || reason == .lost || reason == .cancelled { state.reason = reason }
      if state.told == nil { state.told = .now }
      return state.stop
    }
    stop?()
  }

  /// Why the handler was told to stop; nil when it was not.
  var reason: Reason? { state.withLock { $0.reason } }

  /// Whether nothing may be done under the lease any more. By the clock: the warden may not have looked yet.
  var isOver: Bool {
    check(now: .now)
    return reason == .lost || reason == .cancelled
  }

  /// Asked right before an act that somebody else sees.
  /// - Throws: `CancellationError` when the lease is over.
  func require() throws {
    if isOver { throw CancellationError() }
  }

  /// Stops the handler when its time or the lease's is over, and gives it up when it does not stop.
  func check(now: ContinuousClock.Instant) {
    let late: Reason? = state.withLock { state in
      if now >= state.deadline { return .lost }
      if let timeout = state.timeout, now >= timeout, state.reason == nil { return .timedOut }
      return nil
    }
    if let late { cancel(late) }
    let abandon = state.withLock { state -> (@Sendable () -> Void)? in
      guard let told = state.told, now >= told + Self.patience, let abandon = state.abandon else {
        return nil
      }
      state.abandon = nil
      state.isAbandoned = true
      return abandon
    }
    abandon?()
  }
}
