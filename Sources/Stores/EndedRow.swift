internal import Pipeline

/// A row of `batch_processing_data`, alike in every implementation.
enum EndedRow {
  static let names = [
    "batch", "run", "pipeline", "account", "operation", "batch_number", "status", "stage",
    "total_items", "completed_items", "failed_items", "retry_count", "error", "errors",
    "admitted_at", "started_at", "finished_at",
  ]
  static let columns = names.joined(separator: ", ")
  static let excluded = names.map { "excluded.\($0)" }.joined(separator: ", ")

  /// Reads a row back.
  /// - Parameter texts: the columns in the order of `names`; times as RFC 3339.
  /// - Throws: `StoreError` with code `.incompatible` when a value is not one that batchd writes.
  static func ended(from texts: [String?]) throws -> EndedBatch {
    func wrong() -> StoreError {
      StoreError(
        .incompatible,
        "the history has a run of batch \(texts.first.flatMap { $0 } ?? "?") that this batchd cannot read; install the"
          + " newer batchd that wrote it, or mend its row in batch_processing_data")
    }
    func optional(_ name: String) -> String? {
      texts[names.firstIndex(of: name)!]
    }
    func text(_ name: String) throws -> String {
      guard let text = optional(name) else { throw wrong() }
      return text
    }
    func number(_ name: String) throws -> Int {
      guard let number = Int(try text(name)) else { throw wrong() }
      return number
    }
    func time(_ name: String) throws -> Timestamp? {
      guard let text = optional(name) else { return nil }
      guard let time = Timestamp(rfc3339: text) else { throw wrong() }
      return time
    }
    guard let stage = Stage(rawValue: try text("stage")),
      let errors = try? JSON(parsing: text("errors").utf8).object,
      let admitted = try time("admitted_at"), let finished = try time("finished_at")
    else { throw wrong() }
    return EndedBatch(
      batch: try text("batch"), run: try number("run"), status: try text("status"),
      operation: try text("operation"), account: optional("account"),
      pipeline: try text("pipeline"), stage: stage, number: try number("batch_number"),
      itemsTotal: try number("total_items"), itemsDone: try number("completed_items"),
      itemsFailed: try number("failed_items"), retryCount: try number("retry_count"),
      error: optional("error"), itemErrors: errors.compactMapValues(\.string),
      admittedAt: admitted, startedAt: try time("started_at"), finishedAt: finished)
  }
}
