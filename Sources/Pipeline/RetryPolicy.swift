/// How often and how late a failed stage is tried again: backoff · 2ⁿ with jitter, capped.
public struct RetryPolicy: Sendable, Hashable, Codable {
  /// Retries of one stage of one batch; the first try is not one.
  public var retries = 3
  /// Milliseconds before the first retry.
  public var backoffMilliseconds = 2_000
  /// The largest backoff in milliseconds.
  public var capMilliseconds = 300_000

  public init() {}

  /// What follows a failed attempt.
  public enum Decision: Sendable, Equatable {
    case retry(afterMilliseconds: Int)
    case giveUp
  }

  /// Decides over `attempt` (1 is the first try).
  ///
  /// - Parameters:
  ///   - retryAfterMilliseconds: what the service asked for. It comes first; jitter is added after it, so that
  ///     nobody returns too early and not everybody at once.
  ///   - jitter: a random number in 0..<1.
  public func decide(
    attempt: Int, retryAfterMilliseconds: Int? = nil, jitter: Double = .random(in: 0..<1)
  ) -> Decision {
    guard attempt <= retries else { return .giveUp }
    let exponent = min(max(attempt - 1, 0), 30)
    let backoff = min(backoffMilliseconds << exponent, capMilliseconds)
    // Half is certain, half is spread: a failing service sees the load halve and not return in step.
    let spread = Double(backoff / 2) * jitter
    if let retryAfterMilliseconds {
      return .retry(afterMilliseconds: retryAfterMilliseconds + Int(spread))
    }
    return .retry(afterMilliseconds: backoff - backoff / 2 + Int(spread))
  }
}
