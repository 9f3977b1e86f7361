public import Pipeline

/// Which ended runs to list; what is nil leaves all.
public struct HistoryQuery: Sendable, Hashable {
  public var batch: String?
  public var operation: String?
  public var account: String?
  public var pipeline: String?
  /// `completed`, `completed_with_errors`, `failed` or `cancelled`.
  public var status: String?
  /// Only runs that ended at this moment or later.
  public var after: Timestamp?
  /// Only runs that ended earlier than this moment: two queries that share a moment have no run in common.
  public var before: Timestamp?
  /// Runs at most, from 1 to 10,000.
  public var limit: Int

  public init(
    batch: String? = nil, operation: String? = nil, account: String? = nil,
    pipeline: String? = nil, status: String? = nil, after: Timestamp? = nil,
    before: Timestamp? = nil, limit: Int = 50
  ) {
    self.batch = batch
    self.operation = operation
    self.account = account
    self.pipeline = pipeline
    self.status = status
    self.after = after
    self.before = before
    self.limit = limit
  }

  /// - Throws: `StoreError` with code `.invalid`.
  func check() throws {
    guard (1...10_000).contains(limit) else {
      throw StoreError(
        .invalid,
        "a history of \(limit) runs: the limit must be from 1 to 10000; for more, ask for one span of"
          + " time after the other")
    }
  }

  /// What the columns have to be, all of it.
  var conditions: [(column: String, comparison: String, value: String)] {
    let given: [(String, String, String?)] = [
      ("batch", "=", batch), ("operation", "=", operation), ("account", "=", account),
      ("pipeline", "=", pipeline), ("status", "=", status),
      ("finished_at", ">=", after?.description), ("finished_at", "<", before?.description),
    ]
    return given.compactMap { column, comparison, value in value.map { (column, comparison, $0) } }
  }
}
