/// Redis's clock, carried on by a monotonic clock that counts suspend: a worker's own wall clock may be wrong by hours.
public struct RedisClock: Sendable {
  private let redisMilliseconds: Int
  private let sent: ContinuousClock.Instant

  init(redisMilliseconds: Int, sent: ContinuousClock.Instant) {
    self.redisMilliseconds = redisMilliseconds
    self.sent = sent
  }

  /// Unix milliseconds that Redis shows now, or that it showed up to one round trip ago.
  public var now: Int {
    let passed = (ContinuousClock.now - sent).components
    return redisMilliseconds
      + Int(passed.seconds * 1000 + passed.attoseconds / 1_000_000_000_000_000)
  }

  /// When Redis's clock will show `milliseconds`.
  public func instant(of milliseconds: Int) -> ContinuousClock.Instant {
    sent + .milliseconds(milliseconds - redisMilliseconds)
  }
}
