/// Why a batch is where it is, as one look shows it. Times are Unix milliseconds by Redis's clock; those of records and
/// events are RFC 3339.
public struct Explanation: Sendable, Hashable, Encodable {
  /// What holds a batch.
  public enum Whereabouts: String, Sendable, Hashable, Encodable {
    /// Redis has nothing of that name.
    case unknown
    /// `batchd:enqueue`, or a worker's intake of it: no batch yet.
    case enqueued
    /// `batchd:rejected`: it could not become one.
    case rejected
    /// The list of its stage.
    case queue
    /// The lane of its account, behind another batch; or in front of its own, while the account is paused.
    case lane
    /// The list of those whose worker died.
    case suspects
    case delayed
    /// A worker runs it.
    case leased
    case ended
    /// Its record names a place that does not hold it, or none.
    case adrift
  }

  /// Another batch that matters, and what holds that.
  public struct Neighbour: Sendable, Hashable, Encodable {
    public let batch: BatchState
    public let whereabouts: Whereabouts
    /// When its delay, or its lease, is over.
    public let until: Int?
    /// The batch behind which it waits in its lane.
    public let holder: String?
  }

  /// A record of `batchd:rejected`.
  public struct Rejection: Sendable, Hashable, Encodable {
    /// From 0, the newest; nil when the list has dropped it.
    public let position: Int?
    public let at: String?
    public let reason: String
  }

  public let id: String
  /// When Redis was asked, in Unix milliseconds by its clock, as all moments here.
  public let takenAt: Int
  public internal(set) var whereabouts = Whereabouts.unknown
  public internal(set) var batch: BatchState?
  /// The key of Redis that holds it.
  public internal(set) var place: String?
  /// How many stand before it there; nil when nobody can tell within bounds.
  public internal(set) var ahead: Int?
  /// The worker that has taken it out of its list and not yet leased it.
  public internal(set) var takenBy: String?
  /// When its delay is over.
  public internal(set) var dueAt: Int?
  public internal(set) var crashes = 0
  /// Somebody cancelled it while it ran.
  public internal(set) var isCancelling = false
  /// Since when its worker has it, RFC 3339, where an event still tells.
  public internal(set) var leasedSince: String?
  /// nil when it holds no lease.
  public internal(set) var leaseExpiresAt: Int?
  /// Who holds the lease, dead or alive.
  public internal(set) var worker: WorkerStatus?
  /// `PIPELINE:ACCOUNT`; nil without an account.
  public internal(set) var lane: String?
  /// Who holds that lane, when it is another.
  public internal(set) var holder: Neighbour?
  /// Living workers, and those of them that serve its stage.
  public internal(set) var workers = 0
  public internal(set) var serving: [WorkerStatus] = []
  /// Batches that run in the stage for which it waits, a few of them, and how many there are among the first 1,000 leases.
  public internal(set) var running: [String] = []
  public internal(set) var runningCount = 0
  /// The pauses that concern it.
  public internal(set) var paused: [String] = []
  /// The gates that concern it, as far as Redis knows them.
  public var gates: [Snapshot.Gate] = []
  /// Some of its failed items.
  public internal(set) var itemErrors: [String: String] = [:]
  /// Until when Redis keeps an ended one; nil until the results store has it.
  public internal(set) var keptUntil: Int?
  public internal(set) var rejection: Rejection?
  /// Entries of `batchd:enqueue` behind those that were searched for it, of which it may be one.
  public internal(set) var unseenEntries = 0
  /// Its record names a list that was searched to its end and does not hold it.
  public internal(set) var isInNoList = false
  /// Its record was destroyed, its envelope was not.
  public internal(set) var hasEnvelopeOnly = false
  /// The last ones of its present run, oldest first; as far as the stream reaches back.
  public internal(set) var events: [StateChange] = []

  init(_ id: String, at takenAt: Int) {
    self.id = id
    self.takenAt = takenAt
  }

  /// Whether its lease has run out: the renewal did not come.
  public var isOverdue: Bool { leaseExpiresAt.map { $0 <= takenAt } ?? false }
}

/// Why an operation is not finished, or that it is.
public struct OperationExplanation: Sendable, Hashable, Encodable {
  public let progress: OperationProgress
  /// When Redis was asked, in Unix milliseconds by its clock.
  public let takenAt: Int
  /// Batches of its declared size that were never admitted.
  public internal(set) var missing = 0
  /// Up to five batches that have not ended, the oldest first.
  public internal(set) var inTheWay: [Explanation.Neighbour] = []
  /// Entries that no worker has looked at; whose nobody knows.
  public internal(set) var enqueued = 0
  /// Rejected entries that name it.
  public internal(set) var rejections: [Explanation.Rejection] = []
  public internal(set) var workers = 0
  /// The pauses that concern those in the way.
  public internal(set) var paused: [String] = []
  /// Some of its failed batches, the newest first.
  public internal(set) var failed: [BatchState] = []
}
