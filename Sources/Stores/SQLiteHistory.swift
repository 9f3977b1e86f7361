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
        INSERT INTO batch_processing_data (\(EndedRow.columns))
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
        ON CONFLICT (batch, run, admitted_at) DO NOTHING
        """
    ).execute(arguments: arguments(of: ended))
    // Copied from the history and not from `ended`: a repetition with other values must not make the two
    // tables differ.
    try db.cachedStatement(
      sql: """
        INSERT INTO batches (\(EndedRow.columns), updated_at)
        SELECT \(EndedRow.columns), \(SQLiteSchema.now) FROM batch_processing_data
        WHERE batch = ? AND run = ? AND admitted_at = ?
        ON CONFLICT (batch) DO UPDATE SET
          (\(EndedRow.columns), updated_at) = (\(EndedRow.excluded), excluded.updated_at)
        WHERE (excluded.admitted_at, excluded.run)
          >= (coalesce(batches.admitted_at, excluded.admitted_at), batches.run)
        """
    ).execute(arguments: [ended.batch, ended.run, ended.admittedAt.description])
  }

  /// The ended runs that `query` asks for.
  static func runs(_ query: HistoryQuery, _ db: Database) throws -> [EndedBatch] {
    let conditions = query.conditions.enumerated().map { place, condition in
      "\(condition.column) \(condition.comparison) ?\(place + 1)"
    }
    let rows = try Row.fetchAll(
      db,
      sql: """
        SELECT \(EndedRow.columns) FROM batch_processing_data
        \(conditions.isEmpty ? "" : "WHERE \(conditions.joined(separator: " AND "))")
        ORDER BY finished_at DESC, batch DESC, run DESC, admitted_at DESC LIMIT \(query.limit)
        """, arguments: StatementArguments(query.conditions.map(\.value)))
    return try rows.map { row in
      try EndedRow.ended(from: row.databaseValues.map { $0.storage.value.map { "\($0)" } })
    }
  }

  /// The values of `EndedRow.names`, in their order.
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
