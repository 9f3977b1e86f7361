/// One try of one stage of one batch: what a handler is given.
public struct StageJob: Sendable {
  public let batch: String
  /// The operation the batch belongs to; the batch's own id when it was enqueued without one.
  public let operation: String
  public let account: String?
  public let pipeline: String
  public let stage: Stage
  /// The life of the batch id, from 1; a rerun or a retry is a new one.
  public let run: Int
  /// The try of this stage, from 1; only retries raise it.
  public let attempt: Int
  /// The place of the batch among its account's batches in the operation, from 1; 0 without an account.
  public let number: Int
  public let fence: Fence
  /// The items still to do: neither done in this stage nor failed for good before.
  public let items: [Item]
  /// How many items the batch was enqueued with; nil when the envelope had no `items`.
  public let itemCount: Int?
  public let payload: JSON?
  /// What the last checkpoint of an earlier attempt stored beside its items.
  public let cursor: JSON?

  public init(
    batch: String, operation: String, account: String?, pipeline: String, stage: Stage, run: Int,
    attempt: Int, number: Int, fence: Fence, items: [Item], itemCount: Int?, payload: JSON?,
    cursor: JSON?
  ) {
    self.batch = batch
    self.operation = operation
    self.account = account
    self.pipeline = pipeline
    self.stage = stage
    self.run = run
    self.attempt = attempt
    self.number = number
    self.fence = fence
    self.items = items
    self.itemCount = itemCount
    self.payload = payload
    self.cursor = cursor
  }
}
