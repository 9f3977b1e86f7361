internal import GRDB
internal import Pipeline

/// The history of ended runs.
enum SQLiteHistory {
  /// Writes one ended run into `batch_processing_data`, and into `batches` unless a newer run is there.
  /// The fence in `batches` stays as it is.
  ///
  /// Runs count from 1 again when an id is used anew after its retention, or after Redis has lost everything: the
  /// moment of the admission, which a retry keeps, tells one life of an id from the next.
  static func record(_ ended: EndedBatch, _ db: Database) throws {
    try db.cachedStatement(
      sql: """
        INSERT INTO batch_processing_data (\(columns))
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
        ON CONFLICT (batch, run, admitted_at) DO NOTHING
        """
    ).execute(arguments: arguments(of: ended))
    // Copied from the history and not from `ended`: a repetition with other values must not make the two
    // tables differ.
    try db.cachedStatement(
      sql: """
        INSERT INTO batches (\(columns), updated_at)
        SELECT \(columns), \(SQLiteSchema.now) FROM batch_processing_data
        WHERE batch = ? AND run = ? AND admitted_at = ?
        ON CONFLICT (batch) DO UPDATE SET
          (\(columns), updated_at) = (\(excluded), excluded.updated_at)
        WHERE (excluded.admitted_at, excluded.run)
          >= (coalesce(batches.admitted_at, excluded.admitted_at), batches.run)
        """
    ).execute(arguments: [ended.batch, ended.run, ended.admittedAt.description])
  }

  private static let names = [
    "batch", "run", "pipeline", "account", "operation", "batch_number", "status", "stage",
    "total_items", "completed_items", "failed_items", "retry_count", "error", "errors",
    "admitted_at", "started_at", "finished_at",
  ]
  private static let columns = names.joined(separator: ", ")
  private static let excluded = names.map { "excluded.\($0)" }.joined(separator: ", ")

  /// The values of `names`, in their order.
  private static func arguments(of ended: EndedBatch) -> StatementArguments {
    let errors = JSON.object(ended.itemErrors.mapValues(JSON.string)).bytes
    return [
      ended.batch, ended.run, ended.pipeline, ended.account, ended.operation, ended.number,
      ended.status, ended.stage.rawValue, ended.itemsTotal, ended.itemsDone, ended.itemsFailed,
      ended.retryCount, ended.error, String(decoding: errors, as: UTF8.self),
      ended.admittedAt.description, ended.startedAt?.description, ended.finishedAt.description,
    ]
  }
}
