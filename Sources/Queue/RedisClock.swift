/// Redis's clock, carried on by a monotonic clock that counts suspend: a worker's own wall clock may be wrong by hours.
public struct RedisClock: Sendable {
  private let redisMilliseconds: Int
  private let sent: ContinuousClock.Instant
  private let received: ContinuousClock.Instant

  /// What the reply to a call sent at `sent` showed, which has just come.
  init(redisMilliseconds: Int, sent: ContinuousClock.Instant) {
    self.redisMilliseconds = redisMilliseconds
    self.sent = sent
    received = .now
  }

  /// Unix milliseconds that Redis shows now, or will show within one round trip.
  public var now: Int { milliseconds(at: .now) }

  /// Unix milliseconds that Redis shows at `instant`, or within one round trip of it.
  func milliseconds(at instant: ContinuousClock.Instant) -> Int {
    redisMilliseconds + Self.milliseconds(instant - sent)
  }

  /// How far Redis's clock may stray from the monotonic one before it counts as stepped. helpers.lua has it, too.
  private static let toleranceMilliseconds = 5_000

  /// Whether a clock that runs on as it did can show `milliseconds` between `sent` and now. The time that calls were
  /// under way is no sign of a step.
  func agrees(with milliseconds: Int, sent moment: ContinuousClock.Instant) -> Bool {
    let least = redisMilliseconds + Self.milliseconds(moment - received)
    return (least - Self.toleranceMilliseconds...now + Self.toleranceMilliseconds)
      .contains(milliseconds)
  }

  private static func milliseconds(_ duration: Duration) -> Int {
    let parts = duration.components
    return Int(parts.seconds * 1000 + parts.attoseconds / 1_000_000_000_000_000)
  }

  /// When Redis's clock will show `milliseconds`.
  public func instant(of milliseconds: Int) -> ContinuousClock.Instant {
    sent + .milliseconds(milliseconds - redisMilliseconds)
  }
}
