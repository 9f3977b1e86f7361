import Synchronization

/// The request limits of one token. Times are nanoseconds of one monotonic clock.
struct WorkizLimiter {
  static let bucketSize = 30.0
  /// A bucket that ran dry stays shut for this many intervals: 15 s at one a second, the lower end of
  /// what was observed (FACTS.md section 1).
  static let penaltyIntervals = 15

  let limit: WorkizSimulatorSettings.Limit
  let intervalNanoseconds: Int64
  private var last: Int64?
  private var tokens = bucketSize
  private var refilledAt: Int64?
  private var shutUntil: Int64 = .min

  init(_ settings: WorkizSimulatorSettings) {
    limit = settings.limit
    intervalNanoseconds = Int64(settings.intervalMilliseconds) * 1_000_000
  }

  /// Takes note of an arrival.
  /// - Returns: nil when it is within the limit, else nanoseconds until a request would be.
  mutating func wait(at now: Int64) -> Int64? {
    let strict = waitForInterval(at: now)
    let bucket = waitForBucket(at: now)
    let wait =
      switch limit {
      case .strict: strict
      case .bucket: bucket
      case .both: max(strict, bucket)
      case .none: Int64(0)
      }
    return wait > 0 ? wait : nil
  }

  private mutating func waitForInterval(at now: Int64) -> Int64 {
    defer { last = max(last ?? now, now) }
    guard let last, abs(now - last) < intervalNanoseconds else { return 0 }
    // A refused request is an arrival too: whoever keeps knocking stays shut out.
    return intervalNanoseconds
  }

  private mutating func waitForBucket(at now: Int64) -> Int64 {
    let elapsed = max(0, now - (refilledAt ?? now))
    refilledAt = max(refilledAt ?? now, now)
    tokens = min(Self.bucketSize, tokens + Double(elapsed) / Double(intervalNanoseconds))
    if now < shutUntil { return shutUntil - now }
    if tokens >= 1 {
      tokens -= 1
      return 0
    }
    let penalty = intervalNanoseconds * Int64(Self.penaltyIntervals)
    shutUntil = now + penalty
    return penalty
  }
}

/// The limiters of all tokens: one per account, so bounded by the accounts.
final class LimiterTable: Sendable {
  private let limiters = Mutex<[String: WorkizLimiter]>([:])
  private let settings: WorkizSimulatorSettings

  init(_ settings: WorkizSimulatorSettings) { self.settings = settings }

  func wait(_ account: String, at now: Int64) -> Int64? {
    limiters.withLock { $0[account, default: WorkizLimiter(settings)].wait(at: now) }
  }
}
