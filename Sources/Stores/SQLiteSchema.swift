internal import GRDB

/// The tables of one SQLite file and the step from each version of them to the next.
///
/// Times are RFC 3339 text in UTC. `created_at`, `updated_at` and `opened_at` are by the clock of the host that
/// wrote; `admitted_at`, `started_at` and `finished_at` come with the run and are by Redis's clock.
enum SQLiteSchema {
  /// The step at index n leads from version n to n + 1. A released step never changes; add another.
  private static let steps = [version1, version2]
  /// What an older batchd does not mind has no version: the workers of the release before go on with the store, and can
  /// be gone back to. Run at every opening.
  private static let additions = """
    -- A refresh lists an account's known jobs page by page.
    CREATE INDEX IF NOT EXISTS jobs_by_account_and_uuid ON jobs (account, uuid);

    -- The epoch of batchd_store is the highest of all. It counts for a prefix that is alone or new here: a batchd that knew
    -- of one prefix only raises no other.
    CREATE TABLE IF NOT EXISTS batchd_epochs (
      prefix TEXT PRIMARY KEY NOT NULL,
      epoch INTEGER NOT NULL
    ) STRICT;
    """
  /// Under which prefix the fence in the row was given.
  private static let prefixColumn = "ALTER TABLE batches ADD COLUMN prefix TEXT"

  /// Creates or upgrades the tables. Run it in an immediate transaction: of several processes that open a new
  /// file at the same moment, one creates the tables and the others wait and then find them.
  /// - Throws: `StoreError` with code `.incompatible` when the file is another program's or a newer batchd's.
  static func migrate(_ db: Database, path: String) throws {
    let version = try version(db, path: path)
    for step in steps[version...] { try db.execute(sql: step) }
    try db.execute(sql: additions)
    if try !db.columns(in: "batches").contains(where: { $0.name == "prefix" }) {
      try db.execute(sql: prefixColumn)
    }
    // A write at every opening: SQLite opens a file that it may not write without a complaint, and a
    // worker should learn that at its start and not from its first batch.
    try db.execute(
      sql: "UPDATE batchd_store SET schema_version = ?, opened_at = \(now)",
      arguments: [steps.count])
  }

  /// The version of the tables that are there; 0 without any.
  /// - Throws: `StoreError` with code `.incompatible`, as `migrate`.
  static func version(_ db: Database, path: String) throws -> Int {
    let tables = try String.fetchSet(db, sql: "SELECT name FROM sqlite_schema WHERE type = 'table'")
    var version = 0
    if tables.contains("batchd_store") {
      version = try Int.fetchOne(db, sql: "SELECT schema_version FROM batchd_store") ?? 0
      // For some days of November 2026 the additions had a version of their own: the next step leads to 4.
      if version == 3 { version = 2 }
    } else if !tables.isEmpty {
      throw StoreError(
        .incompatible,
        "\(path) is an SQLite database of another program; name another file for batchd's store")
    }
    guard version <= steps.count else {
      throw StoreError(
        .incompatible,
        "\(path) has schema version \(version), this batchd knows versions up to \(steps.count);"
          + " install the newer batchd on this host or name another file")
    }
    return version
  }

  /// The present moment as an SQL expression.
  static let now = "strftime('%Y-%m-%dT%H:%M:%fZ', 'now')"

  private static let version1 = """
    CREATE TABLE batchd_store (
      id INTEGER PRIMARY KEY CHECK (id = 1),
      identity TEXT NOT NULL,
      epoch INTEGER NOT NULL DEFAULT 0,
      schema_version INTEGER NOT NULL,
      created_at TEXT NOT NULL,
      opened_at TEXT NOT NULL
    ) STRICT;
    INSERT INTO batchd_store (id, identity, schema_version, created_at, opened_at)
    VALUES (1, lower(hex(randomblob(16))), 1, \(now), \(now));

    -- batch wrote the row last, at updated_at; a job found unchanged leaves both as they are. The columns taken
    -- from the document are guarded, so that a broken one fails at the CHECK, which names its reason.
    CREATE TABLE jobs (
      uuid TEXT NOT NULL,
      account TEXT NOT NULL,
      status TEXT GENERATED ALWAYS AS
        (CASE WHEN json_valid(document) THEN json_extract(document, '$.Status') END) VIRTUAL,
      job_date_time TEXT GENERATED ALWAYS AS
        (CASE WHEN json_valid(document) THEN json_extract(document, '$.JobDateTime') END) VIRTUAL,
      batch TEXT NOT NULL,
      content_hash TEXT NOT NULL,
      created_at TEXT NOT NULL,
      updated_at TEXT NOT NULL,
      document TEXT NOT NULL CHECK (json_valid(document)),
      PRIMARY KEY (uuid, account)
    ) STRICT;
    CREATE INDEX jobs_by_account ON jobs (account, job_date_time);
    CREATE INDEX jobs_by_status ON jobs (status, job_date_time);

    -- The latest run of each batch and the fence of its lease. From the first fence to the end the status is
    -- processing, and counts and times of the run are not known here.
    CREATE TABLE batches (
      batch TEXT PRIMARY KEY NOT NULL,
      run INTEGER NOT NULL,
      pipeline TEXT NOT NULL,
      account TEXT,
      operation TEXT NOT NULL,
      batch_number INTEGER NOT NULL,
      status TEXT NOT NULL,
      stage TEXT NOT NULL,
      total_items INTEGER,
      completed_items INTEGER NOT NULL DEFAULT 0,
      failed_items INTEGER NOT NULL DEFAULT 0,
      retry_count INTEGER NOT NULL DEFAULT 0,
      error TEXT,
      errors TEXT NOT NULL DEFAULT '{}' CHECK (json_valid(errors)),
      admitted_at TEXT,
      started_at TEXT,
      finished_at TEXT,
      updated_at TEXT NOT NULL,
      fence_epoch INTEGER NOT NULL DEFAULT 0,
      fence_counter INTEGER NOT NULL DEFAULT 0
    ) STRICT;
    CREATE INDEX batches_by_operation ON batches (pipeline, account, operation, batch_number);
    CREATE INDEX batches_by_status ON batches (status, finished_at);

    -- Every run that ended, also those that a rerun replaced in batches.
    CREATE TABLE batch_processing_data (
      batch TEXT NOT NULL,
      run INTEGER NOT NULL,
      pipeline TEXT NOT NULL,
      account TEXT,
      operation TEXT NOT NULL,
      batch_number INTEGER NOT NULL,
      status TEXT NOT NULL,
      stage TEXT NOT NULL,
      total_items INTEGER NOT NULL,
      completed_items INTEGER NOT NULL,
      failed_items INTEGER NOT NULL,
      retry_count INTEGER NOT NULL,
      error TEXT,
      errors TEXT NOT NULL CHECK (json_valid(errors)),
      admitted_at TEXT NOT NULL,
      started_at TEXT,
      finished_at TEXT NOT NULL,
      PRIMARY KEY (batch, run)
    ) STRICT;
    CREATE INDEX batch_processing_data_by_time ON batch_processing_data (finished_at);

    CREATE VIEW batch_processing_queue AS
    SELECT batch, run, pipeline, account, operation, batch_number, stage, total_items, updated_at,
      fence_epoch, fence_counter
    FROM batches WHERE status = 'processing';

    -- A view, so that a rerun cannot be counted twice: a batch counts once, as its latest run.
    CREATE VIEW batch_account_states AS
    SELECT pipeline, account, operation,
      CASE
        WHEN sum(status = 'processing') > 0 THEN 'processing'
        WHEN sum(status = 'completed') = count(*) THEN 'completed'
        WHEN sum(status = 'failed') = count(*) THEN 'failed'
        WHEN sum(status = 'cancelled') = count(*) THEN 'cancelled'
        ELSE 'completed_with_errors'
      END AS status,
      coalesce(max(batch_number) FILTER (WHERE status IN ('completed', 'completed_with_errors')), 0)
        AS last_batch_completed,
      sum(status = 'processing') AS processing,
      sum(status = 'completed') AS completed,
      sum(status = 'completed_with_errors') AS completed_with_errors,
      sum(status = 'failed') AS failed,
      sum(status = 'cancelled') AS cancelled,
      sum(completed_items) AS completed_items,
      sum(failed_items) AS failed_items,
      max(updated_at) AS updated_at
    FROM batches WHERE account IS NOT NULL
    GROUP BY pipeline, account, operation;
    """

  /// The history of an id that was used again: its key was (batch, run), and the second life's run 1 fell under the table.
  private static let version2 = """
    CREATE TABLE batch_processing_data_2 (
      batch TEXT NOT NULL,
      run INTEGER NOT NULL,
      pipeline TEXT NOT NULL,
      account TEXT,
      operation TEXT NOT NULL,
      batch_number INTEGER NOT NULL,
      status TEXT NOT NULL,
      stage TEXT NOT NULL,
      total_items INTEGER NOT NULL,
      completed_items INTEGER NOT NULL,
      failed_items INTEGER NOT NULL,
      retry_count INTEGER NOT NULL,
      error TEXT,
      errors TEXT NOT NULL CHECK (json_valid(errors)),
      admitted_at TEXT NOT NULL,
      started_at TEXT,
      finished_at TEXT NOT NULL,
      PRIMARY KEY (batch, run, admitted_at)
    ) STRICT;
    INSERT INTO batch_processing_data_2 SELECT * FROM batch_processing_data;
    DROP TABLE batch_processing_data;
    ALTER TABLE batch_processing_data_2 RENAME TO batch_processing_data;
    CREATE INDEX batch_processing_data_by_time ON batch_processing_data (finished_at);
    """
}
