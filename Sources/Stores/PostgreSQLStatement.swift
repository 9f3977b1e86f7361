/// A statement that the store runs, and the name under which a connection prepares it.
///
/// Each is a transaction of its own, in READ COMMITTED. What decides is read and locked in the statement that writes, so that
/// nothing comes between; a row that another transaction holds is waited for and then judged as that one left it.
struct PostgreSQLStatement: Sendable {
  /// Nil for what is planned anew each time.
  let name: String?
  let text: String

  static let identity = Self(name: "identity", text: "SELECT identity FROM batchd_store")
  static let epoch = Self(
    name: "epoch",
    text: """
      SELECT max(epoch) FROM (
        SELECT epoch FROM batchd_epochs WHERE prefix = $1::text
        UNION ALL
        SELECT epoch FROM batchd_store
        WHERE NOT EXISTS (SELECT 1 FROM batchd_epochs WHERE prefix = $1::text)
          OR NOT EXISTS (SELECT 1 FROM batchd_epochs WHERE prefix <> $1::text)
      ) AS known
      """)
  static let raiseEpoch = Self(
    name: "raise_epoch",
    text: """
      WITH own AS (
        INSERT INTO batchd_epochs AS held (prefix, epoch) VALUES ($2::text, $1::bigint)
        ON CONFLICT (prefix) DO UPDATE SET epoch = excluded.epoch
        WHERE held.epoch < excluded.epoch
      )
      UPDATE batchd_store SET epoch = $1::bigint WHERE epoch < $1::bigint
      """)

  /// Answers a row if the fence was raised. As in SQLite, the greater fence decides, not the greater run.
  static let raiseFence = Self(
    name: "raise_fence",
    text: """
      INSERT INTO batches AS held (batch, run, pipeline, account, operation, batch_number, status,
        stage, total_items, updated_at, fence_epoch, fence_counter, prefix)
      VALUES ($1::text, $2::bigint, $3::text, $4::text, $5::text, $6::bigint, 'processing',
        $7::text, $8::bigint, now(), $9::bigint, $10::bigint, $11::text)
      ON CONFLICT (batch) DO UPDATE SET
        (\(EndedRow.columns), updated_at, fence_epoch, fence_counter, prefix)
        = (\(EndedRow.excluded), excluded.updated_at, excluded.fence_epoch, excluded.fence_counter,
          excluded.prefix)
      WHERE CASE WHEN coalesce(held.prefix, excluded.prefix) <> excluded.prefix
        THEN held.finished_at IS NOT NULL OR held.prefix = $12::text
        ELSE (excluded.fence_epoch, excluded.fence_counter) > (held.fence_epoch, held.fence_counter)
          OR ((excluded.fence_epoch, excluded.fence_counter)
            = (held.fence_epoch, held.fence_counter)
            AND excluded.run = held.run AND held.finished_at IS NULL)
        END
      RETURNING true
      """)

  static let fence = Self(
    name: "fence",
    text: """
      SELECT run, status, fence_epoch, fence_counter, prefix FROM batches WHERE batch = $1::text
      """)

  /// Answers whether the row holds the fence, and how many documents were written.
  ///
  /// The lock on the batch's row lasts until the documents are committed: a greater fence is raised before it or after,
  /// never between. Documents are written in the order of their keys, so that two writers of the same ones cannot wait
  /// for each other; of one that stands twice the last counts.
  static let upsert = Self(
    name: "upsert",
    text: """
      WITH held AS MATERIALIZED (
        SELECT batch FROM batches
        WHERE batch = $1::text AND (fence_epoch, fence_counter, run) = ($2::bigint, $3::bigint,
          $4::bigint) AND finished_at IS NULL
        FOR UPDATE
      ), given AS (
        SELECT DISTINCT ON (uuid, account) uuid, account, content_hash, document
        FROM unnest($5::text[], $6::text[], $7::text[], $8::text[])
          WITH ORDINALITY AS g (uuid, account, content_hash, document, place)
        ORDER BY uuid, account, place DESC
      ), written AS (
        INSERT INTO jobs (uuid, account, batch, content_hash, created_at, updated_at, document)
        SELECT uuid, account, batch, content_hash, now(), now(), document::jsonb FROM given, held
        ORDER BY uuid, account
        ON CONFLICT (uuid, account) DO UPDATE SET
          batch = excluded.batch, content_hash = excluded.content_hash,
          updated_at = excluded.updated_at, document = excluded.document
        WHERE jobs.content_hash <> excluded.content_hash OR jobs.document <> excluded.document
        RETURNING 1
      )
      SELECT (SELECT count(*) FROM held), (SELECT count(*) FROM written)
      """)

  static let contentHashes = Self(
    name: "content_hashes",
    text: """
      SELECT uuid, content_hash FROM jobs WHERE account = $1::text AND uuid = ANY ($2::text[])
      """)

  static let jobs = Self(
    name: "jobs",
    text: """
      SELECT uuid FROM jobs WHERE account = $1::text AND uuid > $2::text
      ORDER BY uuid LIMIT $3::bigint
      """)

  /// Of a document that stands twice the first counts, as in SQLite.
  static let add = Self(
    name: "add",
    text: """
      WITH given AS (
        SELECT DISTINCT ON (uuid, account) uuid, account, content_hash, document
        FROM unnest($1::text[], $2::text[], $3::text[], $4::text[])
          WITH ORDINALITY AS g (uuid, account, content_hash, document, place)
        ORDER BY uuid, account, place
      ), written AS (
        INSERT INTO jobs (uuid, account, batch, content_hash, created_at, updated_at, document)
        SELECT uuid, account, 'import', content_hash, now(), now(), document::jsonb FROM given
        ORDER BY uuid, account
        ON CONFLICT (uuid, account) DO NOTHING
        RETURNING 1
      )
      SELECT count(*) FROM written
      """)

  /// Takes a JSON array of objects with the names of `EndedRow`.
  ///
  /// A statement does not see the rows that it inserts, so `history` is those and the ones that were there before.
  /// `batches` gets the newest of each batch, from the history and not from what was given: a repetition with other
  /// values must not make the two tables differ. Both are written in the order of their keys.
  static let record = Self(
    name: "record",
    text: """
      WITH given AS (
        SELECT * FROM ROWS FROM (jsonb_to_recordset($1::text::jsonb) AS (batch text, run bigint,
          pipeline text, account text, operation text, batch_number bigint, status text, stage text,
          total_items bigint, completed_items bigint, failed_items bigint, retry_count bigint,
          error text, errors jsonb, admitted_at timestamptz(3), started_at timestamptz(3),
          finished_at timestamptz(3))) WITH ORDINALITY
      ), new AS (
        INSERT INTO batch_processing_data (\(EndedRow.columns))
        SELECT \(EndedRow.columns) FROM given ORDER BY batch, run, admitted_at, ordinality
        ON CONFLICT (batch, run, admitted_at) DO NOTHING
        RETURNING \(EndedRow.columns)
      ), history AS (
        SELECT \(EndedRow.columns) FROM new
        UNION ALL
        SELECT \(EndedRow.columns) FROM batch_processing_data
        WHERE (batch, run, admitted_at) IN (SELECT batch, run, admitted_at FROM given)
      )
      INSERT INTO batches (\(EndedRow.columns), updated_at)
      SELECT DISTINCT ON (batch) \(EndedRow.columns), now() FROM history
      ORDER BY batch, admitted_at DESC, run DESC
      ON CONFLICT (batch) DO UPDATE SET
        (\(EndedRow.columns), updated_at) = (\(EndedRow.excluded), excluded.updated_at)
      WHERE (excluded.admitted_at, excluded.run)
        >= (coalesce(batches.admitted_at, excluded.admitted_at), batches.run)
      """)
}
