public import Pipeline

/// A worker's right to one stage job; what every verb that acts under it presents.
public struct Lease: Sendable, Hashable {
  public let batch: String
  public let run: Int
  public let stage: Stage
  public let fence: Fence

  public init(batch: String, run: Int, stage: Stage, fence: Fence) {
    self.batch = batch
    self.run = run
    self.stage = stage
    self.fence = fence
  }
}

/// What a renewal or checkpoint said of a lease.
public enum LeaseState: String, Sendable {
  case held
  /// Somebody else has it or will: stop, nothing more counts.
  case lost
  /// The batch was cancelled and has ended.
  case cancelled
}
