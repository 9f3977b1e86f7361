import Pipeline

/// Which gate a stage asks before each call of its handler.
public struct GateRule: Sendable, Hashable {
  public var name: String
  /// Whether every account has a gate of its own, `NAME:ACCOUNT`.
  public var isPerAccount: Bool
  /// Milliseconds between two calls.
  public var intervalMilliseconds: Int

  public init(name: String, isPerAccount: Bool, intervalMilliseconds: Int) {
    self.name = name
    self.isPerAccount = isPerAccount
    self.intervalMilliseconds = intervalMilliseconds
  }

  /// The gate of a job; a job without an account has the one without.
  func key(of job: StageJob) -> String {
    guard isPerAccount, let account = job.account else { return name }
    return "\(name):\(account)"
  }
}

/// How a handler is given the items of a batch.
public enum Feed: String, Sendable, CaseIterable {
  /// All that are still to do, in one call.
  case batch
  /// Each in a call of its own.
  case item
}
