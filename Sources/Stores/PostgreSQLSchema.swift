/// The tables of one PostgreSQL database and the step from each version of them to the next; the same names and columns as
/// SQLite's, with PostgreSQL's types.
///
/// They live in the first schema of the connection's search_path. `created_at`, `updated_at` and `opened_at` are by the
/// server's clock; `admitted_at`, `started_at` and `finished_at` come with the run and are by Redis's clock.
enum PostgreSQLSchema {
  /// The step at index n leads from version n to n + 1. A released step never changes; add another.
  private static let steps = [version1]
  /// As in SQLite: what an older batchd does not mind has no version. Asked for first, for CREATE INDEX would wait for
  /// all who write even when there is nothing to create.
  private static let additions = """
    DO $$ BEGIN
      IF to_regclass('batchd_epochs') IS NULL THEN
        -- All that use the table wait behind who waits for a long reader (pg_dump): not for long, the next start tries again.
        PERFORM set_config('lock_timeout', '500', true);
        ALTER TABLE batches ADD COLUMN prefix text;
        CREATE TABLE batchd_epochs (prefix text PRIMARY KEY, epoch bigint NOT NULL);
      END IF;
      IF to_regclass('jobs_by_account_and_uuid') IS NULL THEN
        CREATE INDEX jobs_by_account_and_uuid ON jobs (account, uuid);
      END IF;
    END $$;
    """

  /// Keeps others from making the tables at the same moment; the number is "batchd" in ASCII.
  private static let lock = "SELECT pg_advisory_xact_lock(x'626174636864'::bigint)"

  /// Creates or upgrades the tables in one transaction: of several workers that open an empty database at once, one makes
  /// the tables, and the others wait and then find them.
  /// - Parameters:
  ///   - run: runs statements and answers the rows of the last.
  ///   - place: which database it is, for messages.
  /// - Returns: the identity of the store.
  /// - Throws: what `run` throws, or `StoreError` with code `.incompatible`.
  static func migrate(
    place: String, makesTables: Bool, _ run: (String) throws -> PostgreSQLRows
  ) throws -> String {
    _ = try run("BEGIN; \(lock)")
    let encoding = try run("SHOW server_encoding")[0][0] ?? ""
    guard encoding == "UTF8" else {
      throw StoreError(
        .incompatible,
        "\(place) has the encoding \(encoding), which has no room for every text;"
          + " make one with createdb --encoding=UTF8 --template=template0")
    }
    let version = try version(place: place, run)
    guard version <= steps.count else {
      throw StoreError(
        .incompatible,
        "\(place) has schema version \(version), this batchd knows versions up to \(steps.count);"
          + " install the newer batchd on this host or name another database")
    }
    guard version > 0 || makesTables else {
      throw StoreError(
        .unavailable, "\(place) has no tables of batchd yet; the first worker makes them")
    }
    for step in steps[version...] { _ = try run(step) }
    _ = try run(additions)
    // A write at every opening, as in SQLite: a worker should learn at its start that it may not write.
    let identity = try run(
      """
      UPDATE batchd_store SET schema_version = \(steps.count), opened_at = now() RETURNING identity
      """)
    return identity[0][0] ?? ""
  }

  /// The version of the tables that are there; 0 without any.
  private static func version(
    place: String, _ run: (String) throws -> PostgreSQLRows
  ) throws -> Int {
    let isThere = try run("SELECT to_regclass('batchd_store') IS NOT NULL")[0][0] == "t"
    if isThere {
      let version =
        try run("SELECT schema_version FROM batchd_store").first?[0].flatMap { Int($0) } ?? 0
      // For some days of November 2026 the additions had a version of their own: the next step leads to 3.
      return version == 2 ? 1 : version
    }
    // A database may well have other tables, but not in the place of these.
    let taken = try run(
      """
      SELECT string_agg(relname, ', ' ORDER BY relname) FROM pg_class
      WHERE relname IN ('jobs', 'batches', 'batch_processing_data', 'batch_processing_queue',
          'batch_account_states')
        AND relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = current_schema())
      """)[0][0]
    if let taken {
      throw StoreError(
        .incompatible,
        "\(place) has tables of another program where batchd's belong (\(taken)); name another database, or a schema of"
          + " batchd's own with options=-csearch_path=NAME")
    }
    return 0
  }

  private static let version1 = """
    CREATE TABLE batchd_store (
      id integer PRIMARY KEY CHECK (id = 1),
      identity text NOT NULL,
      epoch bigint NOT NULL DEFAULT 0,
      schema_version integer NOT NULL,
      created_at timestamptz(3) NOT NULL,
      opened_at timestamptz(3) NOT NULL
    );
    INSERT INTO batchd_store (id, identity, schema_version, created_at, opened_at)
    VALUES (1, replace(gen_random_uuid()::text, '-', ''), 1, now(), now());

    -- batch wrote the row last, at updated_at; a job found unchanged leaves both as they are. What an index holds must
    -- be short, and the service's types are unstable: the columns taken from the document are cut.
    CREATE TABLE jobs (
      uuid text NOT NULL,
      account text NOT NULL,
      status text GENERATED ALWAYS AS (left(document ->> 'Status', 200)) STORED,
      job_date_time text GENERATED ALWAYS AS (left(document ->> 'JobDateTime', 200)) STORED,
      batch text NOT NULL,
      content_hash text NOT NULL,
      created_at timestamptz(3) NOT NULL,
      updated_at timestamptz(3) NOT NULL,
      document jsonb NOT NULL,
      PRIMARY KEY (uuid, account)
    );
    CREATE INDEX jobs_by_account ON jobs (account, job_date_time);
    CREATE INDEX jobs_by_status ON jobs (status, job_date_time);

    -- The latest run of each batch and the fence of its lease. From the first fence to the end the status is
    -- processing, and counts and times of the run are not known here.
    CREATE TABLE batches (
      batch text PRIMARY KEY,
      run bigint NOT NULL,
      pipeline text NOT NULL,
      account text,
      operation text NOT NULL,
      batch_number bigint NOT NULL,
      status text NOT NULL,
      stage text NOT NULL,
      total_items bigint,
      completed_items bigint NOT NULL DEFAULT 0,
      failed_items bigint NOT NULL DEFAULT 0,
      retry_count bigint NOT NULL DEFAULT 0,
      error text,
      errors jsonb NOT NULL DEFAULT '{}',
      admitted_at timestamptz(3),
      started_at timestamptz(3),
      finished_at timestamptz(3),
      updated_at timestamptz(3) NOT NULL,
      fence_epoch bigint NOT NULL DEFAULT 0,
      fence_counter bigint NOT NULL DEFAULT 0
    );
    CREATE INDEX batches_by_operation ON batches (pipeline, account, operation, batch_number);
    CREATE INDEX batches_by_status ON batches (status, finished_at);

    -- Every run that ended, also those that a rerun replaced in batches.
    CREATE TABLE batch_processing_data (
      batch text NOT NULL,
      run bigint NOT NULL,
      pipeline text NOT NULL,
      account text,
      operation text NOT NULL,
      batch_number bigint NOT NULL,
      status text NOT NULL,
      stage text NOT NULL,
      total_items bigint NOT NULL,
      completed_items bigint NOT NULL,
      failed_items bigint NOT NULL,
      retry_count bigint NOT NULL,
      error text,
      errors jsonb NOT NULL,
      admitted_at timestamptz(3) NOT NULL,
      started_at timestamptz(3),
      finished_at timestamptz(3) NOT NULL,
      PRIMARY KEY (batch, run, admitted_at)
    );
    CREATE INDEX batch_processing_data_by_time ON batch_processing_data (finished_at);

    CREATE VIEW batch_processing_queue AS
    SELECT batch, run, pipeline, account, operation, batch_number, stage, total_items, updated_at,
      fence_epoch, fence_counter
    FROM batches WHERE status = 'processing';

    -- A view, so that a rerun cannot be counted twice: a batch counts once, as its latest run.
    CREATE VIEW batch_account_states AS
    SELECT pipeline, account, operation,
      CASE
        WHEN bool_or(status = 'processing') THEN 'processing'
        WHEN bool_and(status = 'completed') THEN 'completed'
        WHEN bool_and(status = 'failed') THEN 'failed'
        WHEN bool_and(status = 'cancelled') THEN 'cancelled'
        ELSE 'completed_with_errors'
      END AS status,
      coalesce(max(batch_number) FILTER (WHERE status IN ('completed', 'completed_with_errors')), 0)
        AS last_batch_completed,
      count(*) FILTER (WHERE status = 'processing') AS processing,
      count(*) FILTER (WHERE status = 'completed') AS completed,
      count(*) FILTER (WHERE status = 'completed_with_errors') AS completed_with_errors,
      count(*) FILTER (WHERE status = 'failed') AS failed,
      count(*) FILTER (WHERE status = 'cancelled') AS cancelled,
      sum(completed_items)::bigint AS completed_items,
      sum(failed_items)::bigint AS failed_items,
      max(updated_at) AS updated_at
    FROM batches WHERE account IS NOT NULL
    GROUP BY pipeline, account, operation;
    """
}
