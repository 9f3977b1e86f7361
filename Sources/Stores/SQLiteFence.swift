internal import GRDB
internal import Pipeline

/// The fence in a batch's row: who may write for the batch.
enum SQLiteFence {
  /// Puts `fence` and the run of `job` into the batch's row, creating the row.
  ///
  /// The greater fence decides, not the greater run: a Redis that lost its newest writes may run a run again
  /// that ended here, and does so under a new epoch.
  /// - Throws: `StoreError` as `ResultsStore.raise(fence:of:prefix:forgotten:)`.
  static func raise(
    _ fence: Fence, of job: StageJob, prefix: String, forgotten: String?, _ db: Database
  ) throws {
    try db.cachedStatement(
      sql: """
        INSERT INTO batches (batch, run, pipeline, account, operation, batch_number, status, stage,
          total_items, updated_at, fence_epoch, fence_counter, prefix)
        VALUES (?, ?, ?, ?, ?, ?, 'processing', ?, ?, \(SQLiteSchema.now), ?, ?, ?)
        ON CONFLICT (batch) DO UPDATE SET
          (run, pipeline, account, operation, batch_number, status, stage, total_items,
            completed_items, failed_items, retry_count, error, errors,
            admitted_at, started_at, finished_at, updated_at, fence_epoch, fence_counter, prefix)
          = (excluded.run, excluded.pipeline, excluded.account, excluded.operation,
            excluded.batch_number, excluded.status, excluded.stage, excluded.total_items,
            excluded.completed_items, excluded.failed_items, excluded.retry_count, excluded.error,
            excluded.errors, excluded.admitted_at, excluded.started_at, excluded.finished_at,
            excluded.updated_at, excluded.fence_epoch, excluded.fence_counter, excluded.prefix)
        WHERE CASE WHEN coalesce(prefix, excluded.prefix) <> excluded.prefix
          THEN finished_at IS NOT NULL OR prefix = ?
          ELSE (excluded.fence_epoch, excluded.fence_counter) > (fence_epoch, fence_counter)
            OR ((excluded.fence_epoch, excluded.fence_counter) = (fence_epoch, fence_counter)
              AND excluded.run = run AND finished_at IS NULL)
          END
        """
    ).execute(arguments: [
      job.batch, job.run, job.pipeline, job.account, job.operation, job.number, job.stage.rawValue,
      job.itemCount, fence.epoch, fence.counter, prefix, forgotten,
    ])
    guard db.changesCount == 1 else {
      throw try refusal(of: job, fence: fence, prefix: prefix, db)
    }
  }

  /// Checks that the batch's row holds the fence of `job` and that its run has not ended.
  ///
  /// The end counts too: a batch that ended by a cancel or as poison has no newer holder whose greater fence
  /// would keep the old one out.
  /// - Throws: `StoreError` with code `.fenced`.
  static func require(_ job: StageJob, _ db: Database) throws {
    let held = try Bool.fetchOne(
      db.cachedStatement(
        sql: """
          SELECT (fence_epoch, fence_counter, run) = (?, ?, ?) AND finished_at IS NULL
          FROM batches WHERE batch = ?
          """), arguments: [job.fence.epoch, job.fence.counter, job.run, job.batch])
    guard held == true else { throw try refusal(of: job, fence: job.fence, db) }
  }

  private static func refusal(
    of job: StageJob, fence: Fence, prefix: String? = nil, _ db: Database
  ) throws -> StoreError {
    let row = try Row.fetchOne(
      db,
      sql: "SELECT run, status, fence_epoch, fence_counter, prefix FROM batches WHERE batch = ?",
      arguments: [job.batch])
    return StoreError(
      refusing: job, fence: fence, prefix: prefix,
      held: row.map { row in
        let fence = Fence(epoch: row["fence_epoch"], counter: row["fence_counter"])
        return HeldFence(
          run: row["run"], status: row["status"], fence: fence, prefix: row["prefix"])
      })
  }
}
