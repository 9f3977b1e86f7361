/// What a queue looks like at one moment, for a person at night. Times are Unix milliseconds by Redis's clock.
public struct Snapshot: Sendable, Hashable, Encodable {
  public var takenAt: Int
  /// Raised when Redis may have forgotten something; nil before the first worker.
  public var epoch: Int?
  /// Entries of `batchd:enqueue` that no worker has looked at.
  public var enqueued: Int
  /// Every stage of every registered pipeline.
  public var queues: [Waiting]
  public var delayed: Int
  public var nextDueAt: Int?
  public var leases: Int
  public var nextExpiryAt: Int?
  /// Stages in which batches wait and that no living worker serves.
  public var unserved: [Waiting]
  /// Lanes that a batch holds; who waits in them.
  public var lanesHeld: Int
  /// Lanes that a batch holds, the longest first; none of them when they are too many.
  public var lanes: [Lane]
  public var paused: [String]
  public var rejected: Int
  public var failed: Int
  /// Why the newest of the rejected entries is one.
  public var lastRejected: String?
  /// The last ones, newest first.
  public var lastFailed: [BatchState]
  /// Ended runs that the results store has not acknowledged.
  public var outbox: Int
  /// Those that live or are silent, and those that died within the last hour.
  public var workers: [WorkerStatus]
  /// Gates that are closed because a service said so, or for longer than their own interval.
  public var closedGates: [Gate]
  /// Lanes or keys were too many to look at all: `lanes` or `closedGates` may miss some.
  public var isPartial: Bool
  /// Counters since the prefix began.
  public var stats: [String: Int]

  public struct Waiting: Sendable, Hashable, Encodable {
    public var pipeline: String
    public var stage: String
    public var waiting: Int
    /// Batches whose worker died: they run one at a time.
    public var suspects: Int

    /// As `queue` and `stage` name it: `PIPELINE:STAGE`.
    public var list: String { "\(pipeline):\(stage)" }
  }

  public struct Lane: Sendable, Hashable, Encodable {
    /// `PIPELINE:ACCOUNT`.
    public var name: String
    public var holder: String
    /// Where the holder is; nil when its record is gone.
    public var stage: String?
    /// The key that holds the holder: a list, `batchd:delayed`, `batchd:leases`.
    public var place: String?
    public var waiting: Int

    /// Of the name.
    public var account: Substring { name.drop { $0 != ":" }.dropFirst() }
  }

  public struct Gate: Sendable, Hashable, Encodable {
    public var name: String
    public var opensAt: Int
    public var intervalMilliseconds: Int
    public var reason: String?
  }
}
