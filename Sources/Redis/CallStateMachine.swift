internal import NIOCore

/// The calls of one connection and what becomes of each: a pure value that turns an event into an
/// action, and knows neither socket nor clock nor task.
///
/// Redis answers in the order of the commands and names none of them, so a place in the line is all
/// that joins a reply to its call. A caller may leave the line (cancelled, or its deadline passed);
/// its place stays until the reply has come, or every later reply would reach the wrong caller.
struct CallStateMachine<Waiter: Sendable>: Sendable {
  /// What whoever owns the machine has to do. Each waiter is handed out exactly once.
  enum Action: Sendable {
    case none
    /// Write the command. The ticket names its place, for `cancel`.
    case send(ticket: UInt64)
    case deliver(Waiter, RedisValue)
    case cancel(Waiter)
    case refuse(Waiter, RedisError)
    case fail([Failure])
    /// Fail these, then close the connection.
    case close([Failure])
  }

  struct Failure: Sendable {
    let waiter: Waiter
    let error: RedisError
  }

  private struct Call: Sendable {
    var waiter: Waiter?
    let sent: NIODeadline
    let deadline: NIODeadline
    var repliesMissing: Int
    /// Only for a call of several replies.
    var replies: [RedisValue]?
  }

  private let waitingCalls: Int
  /// How long the peer may be silent, once a call is overdue, before the connection counts as dead.
  private let silence: TimeAmount
  private var calls = CircularBuffer<Call>()
  private var firstTicket: UInt64 = 1
  private var lastHeard = NIODeadline.uptimeNanoseconds(0)
  /// Why it is closed, once it is.
  private(set) var closed: RedisError?
  /// The moment at which `check` has something to do, or earlier.
  private(set) var nextCheck: NIODeadline?

  init(waitingCalls: Int, silence: TimeAmount) {
    self.waitingCalls = waitingCalls
    self.silence = silence
  }

  /// A caller wants to send a command (or several in one piece) and waits for `replies` replies.
  mutating func submit(
    _ waiter: Waiter, replies: Int = 1, now: NIODeadline, deadline: NIODeadline
  ) -> Action {
    if let closed { return .refuse(waiter, closed) }
    guard calls.count < waitingCalls else {
      return .refuse(
        waiter,
        RedisError(code: .tooManyCalls, message: "\(waitingCalls) calls wait for Redis already"))
    }
    calls.append(
      Call(
        waiter: waiter, sent: now, deadline: deadline, repliesMissing: replies,
        replies: replies > 1 ? [] : nil))
    nextCheck = min(nextCheck ?? deadline, deadline)
    return .send(ticket: firstTicket + UInt64(calls.count - 1))
  }

  /// Bytes came, be it a part of a reply only: the peer lives.
  mutating func hear(now: NIODeadline) { lastHeard = now }

  /// A reply came. It belongs to the first place in the line.
  mutating func receive(_ value: RedisValue) -> Action {
    guard closed == nil else { return .none }
    guard !calls.isEmpty else {
      return close(
        RedisError(code: .protocolViolation, message: "Redis sent a reply that nobody asked for"))
    }
    if calls[offset: 0].repliesMissing > 1 || calls[offset: 0].replies != nil {
      return receivePart(value)
    }
    guard let waiter = removeFirst().waiter else { return .none }
    return .deliver(waiter, value)
  }

  private mutating func receivePart(_ value: RedisValue) -> Action {
    calls[offset: 0].repliesMissing -= 1
    // Nobody reads the replies of a caller that left.
    if calls[offset: 0].waiter != nil {
      calls.modify(calls.startIndex) { $0.replies?.append(value) }
    }
    guard calls[offset: 0].repliesMissing == 0 else { return .none }
    let call = removeFirst()
    guard let waiter = call.waiter, let replies = call.replies else { return .none }
    return .deliver(waiter, .array(replies))
  }

  private mutating func removeFirst() -> Call {
    firstTicket += 1
    return calls.removeFirst()
  }

  /// The caller's task was cancelled. Repeating it, or a ticket that was served, does nothing.
  mutating func cancel(ticket: UInt64) -> Action {
    guard ticket >= firstTicket, ticket - firstTicket < UInt64(calls.count) else { return .none }
    let offset = Int(ticket - firstTicket)
    guard let waiter = calls[offset: offset].waiter else { return .none }
    leave(offset)
    return .cancel(waiter)
  }

  private mutating func leave(_ offset: Int) {
    calls[offset: offset].waiter = nil
    if calls[offset: offset].replies != nil { calls[offset: offset].replies = [] }
  }

  /// Time has passed: ends the calls whose deadline is over, and the connection if the peer is
  /// silent beyond it.
  mutating func check(now: NIODeadline) -> Action {
    var failures: [Failure] = []
    var next: NIODeadline?
    for offset in 0..<calls.count {
      guard let waiter = calls[offset: offset].waiter else { continue }
      let deadline = calls[offset: offset].deadline
      if deadline <= now {
        failures.append(Failure(waiter: waiter, error: .deadlineExceeded))
        leave(offset)
      } else {
        next = min(next ?? deadline, deadline)
      }
    }
    if let first = calls.first {
      let dead = max(first.deadline, max(lastHeard, first.sent) + silence)
      if dead <= now {
        let error = RedisError(
          code: .connectionLost,
          message: "Redis did not answer in time, so the connection was closed")
        return close(error, failures: failures)
      }
      next = min(next ?? dead, dead)
    }
    nextCheck = next
    return failures.isEmpty ? .none : .fail(failures)
  }

  /// The connection ended or shall end. Later calls are refused with `later`, or with the same
  /// reason as `notConnected`.
  mutating func close(_ error: RedisError, later: RedisError? = nil) -> Action {
    close(error, failures: [], later: later)
  }

  private mutating func close(
    _ error: RedisError, failures: [Failure], later: RedisError? = nil
  ) -> Action {
    guard closed == nil else { return .none }
    // Whoever asks from now on is certain that nothing was sent; whoever waits is not.
    closed = later ?? RedisError(code: .notConnected, message: error.message)
    let lost = RedisError(
      code: .connectionLost, message: "\(error.message); the command may have been executed")
    var failures = failures
    for (offset, call) in calls.enumerated() {
      guard let waiter = call.waiter else { continue }
      // A reply that is too large or no RESP is that of the first in line, and only its.
      let isCulprit = offset == 0 && error.code != .connectionLost
      failures.append(Failure(waiter: waiter, error: isCulprit ? error : lost))
    }
    firstTicket += UInt64(calls.count)
    calls.removeAll()
    nextCheck = nil
    return .close(failures)
  }
}

extension RedisError {
  static let deadlineExceeded = RedisError(
    code: .deadlineExceeded,
    message: "Redis did not answer in time; the command may have been executed")
}
