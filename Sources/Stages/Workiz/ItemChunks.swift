import Pipeline

extension Array {
  /// Slices of at most 100, for checkpoints: each stays small, and a crash repeats little.
  func chunks() -> [ArraySlice<Element>] {
    stride(from: 0, to: count, by: 100).map { self[$0..<Swift.min($0 + 100, count)] }
  }
}

extension ItemResult {
  /// For an item whose output of an earlier stage is gone.
  static func missing(_ stage: Stage) -> ItemResult {
    .failed("its output of stage \(stage.rawValue) is missing: batchd_retry from that stage")
  }
}
