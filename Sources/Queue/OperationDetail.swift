public import Pipeline

/// What is seen of an operation beside its progress key: its batches by stage and by account, from their own records.
/// Read in several steps, so a batch that moves meanwhile may stand beside the progress key's counts by one.
/// Times are Unix milliseconds by Redis's clock.
public struct OperationDetail: Sendable, Hashable {
  /// The stages of its pipelines in order; empty when `isWhole` is not.
  public var stages: [StageCount] = []
  /// By name. Where not all batches were looked at: from the accounts' progress keys alone.
  public var accounts: [AccountState] = []
  /// Batches that a worker holds.
  public var underWay: [BatchState] = []
  /// Batches whose records were looked at.
  public var seen = 0
  /// Whether all were; otherwise they are too many.
  public var isWhole = true
  /// How many accounts it has, those that were too many to look at included.
  public var accountCount = 0
  /// When one of its batches changed last; RFC 3339.
  public var changedAt: String?

  public init() {}
}

/// How the batches of an operation stand to one stage. The eight states sum to `total`.
public struct StageCount: Sendable, Hashable, Encodable {
  public let stage: Stage
  /// Batches that have this stage.
  public var total = 0
  public var passed = 0
  /// A worker holds them in it.
  public var running = 0
  /// In backoff in it, or over it and not yet taken up again.
  public var retrying = 0
  /// Before it: in a lane or a list, delayed, or put off at no cost.
  public var waiting = 0
  /// Ended in it.
  public var failed = 0
  public var cancelled = 0
  /// In an earlier stage, or ended there.
  public var toCome = 0
  /// Ended; their records have expired.
  public var unseen = 0

  public init(stage: Stage) { self.stage = stage }

  /// Whether something stands in it that is no step further yet.
  public var isBusy: Bool { running + retrying + waiting + failed > 0 }
}

/// An account's part in an operation. The eight states of batches sum to `total`.
public struct AccountState: Sendable, Hashable, Encodable {
  public let account: String
  public var total = 0
  public var pending = 0
  public var processing = 0
  public var retrying = 0
  public var completed = 0
  public var completedWithErrors = 0
  public var failed = 0
  public var cancelled = 0
  /// Ended; their records have expired, or were too many to look at.
  public var unseen = 0
  public var itemsTotal = 0
  public var itemsDone = 0
  public var itemsFailed = 0
  /// The batch that is under way, or whose turn it is; nil when none lives.
  public var batch: String?
  /// Its position among the account's batches in the operation, from 1.
  public var number: Int?
  public var stage: String?
  /// Whether a worker holds it.
  public var isRunning = false
  /// When it is due, while it is delayed, in backoff or put off.
  public var dueAt: Int?
  /// Why it waits.
  public var error: String?
  /// When a closed gate of the account opens, and why it was closed.
  public var gateOpensAt: Int?
  public var gateReason: String?
  /// The longest interval of the account's gates.
  public var gateIntervalMilliseconds: Int?
  /// Another operation's batch that has the account's lane, and that operation.
  public var laneHolder: String?
  public var laneOperation: String?
  /// Other operations' batches before the last one of this operation in the lane, and their items.
  public var batchesAhead = 0
  public var itemsAhead = 0
  /// The lane is too long: more of them may be ahead.
  public var isAheadPartial = false
  /// When its batches changed last; RFC 3339.
  public var changedAt: String?

  public init(account: String) { self.account = account }

  /// Batches that have ended, whichever way.
  public var ended: Int { completed + completedWithErrors + failed + cancelled + unseen }
  public var isFinished: Bool { pending + processing + retrying == 0 }
}
