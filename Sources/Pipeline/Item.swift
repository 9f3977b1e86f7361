/// One element of a batch: the unit of checkpoints and progress.
public struct Item: Sendable, Hashable {
  /// What names the item in keys and results: the string itself, the integer in decimal, or the object's `id`.
  public let id: String
  /// The item as it was enqueued.
  public let value: JSON

  public init(id: String, value: JSON) {
    self.id = id
    self.value = value
  }
}

/// What became of one item in one stage.
public enum ItemResult: Sendable, Hashable {
  /// Done; the output is an input of the later stages.
  case done(JSON)
  /// Failed for good: recorded under `batchd:errors:ID`, skipped by the later stages.
  case failed(String)
}
