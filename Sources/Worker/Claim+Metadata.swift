internal import Logging
internal import Pipeline
internal import Queue

extension Claim {
  /// Names the stage job in a line of the log.
  var metadata: Logger.Metadata {
    var metadata: Logger.Metadata = [
      "batch": "\(lease.batch)", "pipeline": "\(list.pipeline)",
      "stage": "\(list.stage.rawValue)", "attempt": .stringConvertible(attempt),
    ]
    if let account { metadata["account"] = "\(account)" }
    return metadata
  }
}

extension Logger.Metadata {
  /// With one field more, unless it is nil.
  func with(_ name: String, _ value: Logger.MetadataValue?) -> Logger.Metadata {
    guard let value else { return self }
    return merging([name: value]) { $1 }
  }
}

extension StageList {
  /// Names the list in a line of the log.
  var metadata: Logger.Metadata {
    ["pipeline": "\(pipeline)", "stage": "\(stage.rawValue)"]
  }
}

extension EndedBatch {
  /// Names the run in a line of the log, and how it ended.
  var metadata: Logger.Metadata {
    var metadata: Logger.Metadata = [
      "batch": "\(batch)", "run": .stringConvertible(run), "operation": "\(operation)",
      "pipeline": "\(pipeline)", "stage": "\(stage.rawValue)",
      "retries": .stringConvertible(retryCount), "items": .stringConvertible(itemsTotal),
      "items_failed": .stringConvertible(itemsFailed),
    ]
    if let account { metadata["account"] = "\(account)" }
    if let error { metadata["error"] = "\(error)" }
    if let startedAt {
      metadata["ms"] = .stringConvertible(finishedAt.milliseconds - startedAt.milliseconds)
    }
    return metadata
  }
}
