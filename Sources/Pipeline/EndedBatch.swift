/// How a run of a batch ended: the record that goes through the outbox `batchd:ended` into SQL.
public struct EndedBatch: Sendable, Hashable {
  /// The four ends.
  public static let statuses = ["completed", "completed_with_errors", "failed", "cancelled"]

  public let batch: String
  public let run: Int
  /// One of `statuses`.
  public let status: String
  public let operation: String
  public let account: String?
  public let pipeline: String
  /// The stage in which it ended.
  public let stage: Stage
  /// The batch's place among its account's batches in the operation, from 1; 0 without an account.
  public let number: Int
  public let itemsTotal: Int
  public let itemsDone: Int
  public let itemsFailed: Int
  public let retryCount: Int
  /// The batch's error, and the errors of its items by item id.
  public let error: String?
  public let itemErrors: [String: String]
  public let admittedAt: Timestamp
  public let startedAt: Timestamp?
  public let finishedAt: Timestamp

  public init(
    batch: String, run: Int, status: String, operation: String, account: String?, pipeline: String,
    stage: Stage, number: Int, itemsTotal: Int, itemsDone: Int, itemsFailed: Int, retryCount: Int,
    error: String?, itemErrors: [String: String], admittedAt: Timestamp, startedAt: Timestamp?,
    finishedAt: Timestamp
  ) {
    self.batch = batch
    self.run = run
    self.status = status
    self.operation = operation
    self.account = account
    self.pipeline = pipeline
    self.stage = stage
    self.number = number
    self.itemsTotal = itemsTotal
    self.itemsDone = itemsDone
    self.itemsFailed = itemsFailed
    self.retryCount = retryCount
    self.error = error
    self.itemErrors = itemErrors
    self.admittedAt = admittedAt
    self.startedAt = startedAt
    self.finishedAt = finishedAt
  }
}
