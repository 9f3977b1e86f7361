/// Which batches a person means: those of which all holds that is named here.
public struct BatchFilter: Sendable, Hashable {
  /// One of them; empty means any.
  public var statuses: Set<String> = []
  public var operation: String?
  public var account: String?
  public var pipeline: String?
  public var stage: String?
  /// What the batch's error contains, in upper or lower case.
  public var error: String?
  /// RFC 3339 in UTC with milliseconds: the batch ended (while it lives: was admitted) then or later.
  public var since: String?
  /// The same: before that.
  public var before: String?

  /// Any batch.
  public init() {}

  /// Whether it fits the batch.
  public func fits(_ batch: BatchState) -> Bool {
    func isEqual(_ wanted: String?, _ value: String?) -> Bool { wanted == nil || wanted == value }
    guard statuses.isEmpty || statuses.contains(batch.status),
      isEqual(operation, batch.operation), isEqual(account, batch.account),
      isEqual(pipeline, batch.pipeline), isEqual(stage, batch.stage)
    else { return false }
    if let error, batch.error?.lowercased().contains(error.lowercased()) != true { return false }
    // The functions write times in one form only, whose order as text is that of time.
    let at = (batch.isLiving ? batch.admittedAt : batch.finishedAt) ?? ""
    return at >= since ?? "" && (before == nil || at < before ?? "")
  }
}
