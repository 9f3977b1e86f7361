public import Redis

/// The rate limiter of one account or service, over all workers, by Redis's clock.
///
/// Permissions are interval + margin apart, and each is used within half the margin after its moment, as told by a
/// monotonic clock; the other half is for the way to the service. So two requests arrive at least the interval apart,
/// whatever the workers' wall clocks show. A permission that comes to nothing in time is asked for again.
public struct Gate: Sendable {
  /// What asking led to.
  public enum Passage: Sendable, Equatable {
    /// Send the request now.
    case open
    /// Closed for longer than the caller's patience: for about this many milliseconds.
    case closed(milliseconds: Int)
    /// The stage job that asked lost its lease.
    case lost
  }

  /// Calls a function `batchd_NAME` under the epoch in force until it is answered.
  public typealias Call =
    @Sendable (_ function: String, _ arguments: [RedisArgument]) async throws
    -> RedisValue

  private let name: String
  private let intervalMilliseconds: Int
  private let marginMilliseconds: Int
  private let patienceMilliseconds: Int
  private let holder: [RedisArgument]
  private let clockKnownSince: @Sendable () -> ContinuousClock.Instant
  private let line: GateLine
  private let call: Call

  /// - Parameters:
  ///   - marginMilliseconds: how much delays may differ, on the way from Redis and to the service together.
  ///   - patienceMilliseconds: how far away a permission is worth waiting for.
  ///   - batch, fence: the stage job that asks; empty for a caller without one.
  ///   - line: of all callers of this process.
  ///   - clockKnownSince: when this process came to know Redis's clock as it is. It may have stepped before, and then
  ///     the distance between two permissions tells nothing about the time between them: an interval must pass first.
  public init(
    _ name: String, intervalMilliseconds: Int, marginMilliseconds: Int, patienceMilliseconds: Int,
    batch: String, fence: String, line: GateLine,
    clockKnownSince: @escaping @Sendable () -> ContinuousClock.Instant, call: @escaping Call
  ) {
    self.name = name
    self.intervalMilliseconds = intervalMilliseconds
    self.marginMilliseconds = marginMilliseconds
    self.patienceMilliseconds = patienceMilliseconds
    holder = [.text(batch), .text(fence)]
    self.line = line
    self.clockKnownSince = clockKnownSince
    self.call = call
  }

  private struct Reservation {
    let at: Int
    let generation: Int
  }

  private enum Step {
    case passed(Passage)
    case confirm(Reservation)
    case again
  }

  /// Permissions in a row that came too late to be used before the caller is told.
  private static let mostLate = 100

  /// Waits for a permission to send one request at the moment of the return.
  /// - Throws: `RedisError` when Redis answers too slowly for the margin.
  public func pass() async throws -> Passage {
    var step = Step.again
    for _ in 0..<Self.mostLate {
      switch step {
      case .passed(let passage): return passage
      case .again: step = try await take()
      case .confirm(let reservation): step = try await confirm(reservation)
      }
    }
    throw RedisError(
      code: .deadlineExceeded,
      message: "gate \(name): Redis answers too slowly to use a permission within "
        + "\(usableMilliseconds) ms; raise worker.gate_margin_ms")
  }

  private var usableMilliseconds: Int { marginMilliseconds / 2 }

  private var opensAfterAdoption: ContinuousClock.Instant {
    clockKnownSince() + .milliseconds(intervalMilliseconds + marginMilliseconds)
  }

  private func take() async throws -> Step {
    let opens = opensAfterAdoption
    let wait = ContinuousClock.now.duration(to: opens)
    if wait > .milliseconds(patienceMilliseconds) {
      return .passed(.closed(milliseconds: Int(wait / .milliseconds(1))))
    }
    try await Task.sleep(until: opens, tolerance: .zero, clock: .continuous)
    let (sent, reply) = try await ask(
      "gate_take",
      [
        .text(name), .integer(intervalMilliseconds), .integer(marginMilliseconds),
        .integer(patienceMilliseconds),
      ])
    guard let parts = reply.array, parts.count == 4, let now = parts[1].integer,
      let at = parts[2].integer, let generation = parts[3].integer
    else { throw unreadable(reply) }
    guard opensAfterAdoption <= sent else { return .again }
    let reservation = Reservation(at: at, generation: generation)
    switch parts[0].text {
    case "granted":
      // A reply that took too long is no permission any more.
      let inTime = ContinuousClock.now - sent <= .milliseconds(usableMilliseconds)
      return inTime ? .passed(.open) : .confirm(reservation)
    case "reserved":
      try await Task.sleep(
        until: sent + .milliseconds(at - now), tolerance: .zero, clock: .continuous)
      return .confirm(reservation)
    case "closed": return .passed(.closed(milliseconds: at - now))
    case "lost": return .passed(.lost)
    default: throw unreadable(reply)
    }
  }

  private func confirm(_ reservation: Reservation) async throws -> Step {
    let (sent, reply) = try await ask(
      "gate_confirm",
      [
        .text(name), .integer(reservation.at), .integer(reservation.generation),
        .integer(intervalMilliseconds), .integer(marginMilliseconds),
      ])
    guard let parts = reply.array, parts.count == 3, let now = parts[1].integer,
      let at = parts[2].integer
    else { throw unreadable(reply) }
    guard opensAfterAdoption <= sent else { return .again }
    switch parts[0].text {
    case "granted":
      let left = at + usableMilliseconds - now
      let inTime = ContinuousClock.now - sent <= .milliseconds(left)
      return inTime ? .passed(.open) : .confirm(reservation)
    case "early":
      // Far away is for take to say: it is not worth a slot.
      if at - now > patienceMilliseconds { return .again }
      try await Task.sleep(
        until: sent + .milliseconds(at - now), tolerance: .zero, clock: .continuous)
      return .confirm(reservation)
    case "void": return .again
    case "lost": return .passed(.lost)
    default: throw unreadable(reply)
    }
  }

  /// - Returns: the moment at which the call left, with its reply.
  private func ask(
    _ function: String, _ arguments: [RedisArgument]
  ) async throws -> (sent: ContinuousClock.Instant, reply: RedisValue) {
    try await line.pass {
      let sent = ContinuousClock.now
      return (sent, try await call(function, arguments + holder))
    }
  }

  /// Closes the gate for everyone, as a 429 or its `Retry-After` asks; reservations become void.
  public func close(milliseconds: Int, reason: String) async throws {
    // Redis counts from the beginning of the millisecond in which it hears of it.
    _ = try await call("gate_close", [.text(name), .integer(milliseconds + 1), .text(reason)])
  }

  private func unreadable(_ reply: RedisValue) -> RedisError {
    RedisError(code: .protocolViolation, message: "gate \(name) answered \(reply)")
  }
}
