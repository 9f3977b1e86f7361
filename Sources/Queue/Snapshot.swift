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
  /// Lanes that a batch holds; who waits in them.
  public var lanesHeld: Int
  /// Lanes in which batches wait, the longest first.
  public var lanes: [Lane]
  public var paused: [String]
  public var rejected: Int
  public var failed: Int
  /// The last ones, newest first.
  public var lastFailed: [BatchState]
  /// Ended runs that the results store has not acknowledged.
  public var outbox: Int
  public var workers: [Worker]
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
  }

  public struct Lane: Sendable, Hashable, Encodable {
    /// `PIPELINE:ACCOUNT`.
    public var name: String
    public var holder: String
    public var waiting: Int
  }

  public struct Worker: Sendable, Hashable, Encodable {
    public var name: String
    public var host: String
    public var pid: Int
    public var version: String
    public var slots: Int
    public var running: Int
    public var beatAt: Int
    /// RFC 3339.
    public var startedAt: String?
    /// What it counted since its start: `finished`, `failed`, `retried`, …
    public var counters: [String: Int]
  }

  public struct Gate: Sendable, Hashable, Encodable {
    public var name: String
    public var opensAt: Int
    public var intervalMilliseconds: Int
    public var reason: String?
  }
}
