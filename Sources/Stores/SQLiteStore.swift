internal import FoundationEssentials
internal import GRDB
public import Pipeline

#if FAILPOINTS
  internal import Failpoints
#endif

/// Results and history in one SQLite file, shared by all workers of one host.
///
/// Each process holds one connection; its calls wait for each other, and processes wait for each other's write
/// transactions up to a limit. The tables are in `SQLiteSchema`.
public struct SQLiteStore: ResultsStore {
  let path: String
  let queue: DatabaseQueue
  /// The file that was opened: its name may come to mean another one.
  private let file: FileIdentity?

  /// Opens the file, creating it, its tables and its parent folder where they are missing.
  ///
  /// - Parameters:
  ///   - path: a file on a local disk: SQLite's locks and shared memory do not work over network file systems.
  ///   - busyMilliseconds: how long a call waits for other processes' transactions. It should be less
  ///     than a lease, so that a worker that cannot write still has the time to hand its work back.
  /// - Throws: `StoreError` with code `.unavailable` or `.incompatible`.
  public init(path: String, busyMilliseconds: Int = 10_000) async throws {
    self.path = path
    try Self.createFolder(of: path)
    let deadline = ContinuousClock.now + .milliseconds(busyMilliseconds)
    var configuration = Configuration()
    configuration.busyMode = .timeout(Double(busyMilliseconds) / 1000)
    configuration.label = "batchd.store"
    while true {
      do {
        queue = try await Self.open(path: path, configuration)
        file = FileIdentity(path: path)
        return
      } catch let error as DatabaseError {
        // SQLite does not wait for the lock that turns a new file to WAL: when several processes open
        // it at the same moment, all but one get SQLITE_BUSY at once, whatever the busy timeout.
        guard error.resultCode == .SQLITE_BUSY, ContinuousClock.now < deadline else {
          throw StoreError(error, path: path)
        }
        try await Task.sleep(for: .milliseconds(20))
      }
    }
  }

  private static func open(path: String, _ configuration: Configuration) async throws
    -> DatabaseQueue
  {
    let queue = try DatabaseQueue(path: path, configuration: configuration)
    try await queue.writeWithoutTransaction { db in
      let mode = try String.fetchOne(db, sql: "PRAGMA journal_mode = WAL")
      guard mode == "wal" else {
        throw StoreError(
          .unavailable,
          "\(path) cannot have a write-ahead log; name a file on a local disk for batchd's store")
      }
      // FULL syncs the log at every commit. With NORMAL a power cut may take back the last commits, and
      // Redis, told that they are done, will not offer them again.
      try db.execute(sql: "PRAGMA synchronous = FULL")
    }
    #if FAILPOINTS
      Failpoints.pass("migrate", .before)
    #endif
    try await queue.write { db in
      try SQLiteSchema.migrate(db, path: path)
      #if FAILPOINTS
        Failpoints.pass("migrate", .within)
      #endif
    }
    #if FAILPOINTS
      Failpoints.pass("migrate", .after)
    #endif
    return queue
  }

  private static func createFolder(of path: String) throws {
    guard let slash = path.lastIndex(of: "/"), slash != path.startIndex else { return }
    let folder = String(path[..<slash])
    // FileManager alone costs a worker that waits half a megabyte. With the dot the path names nothing but a folder.
    guard FileIdentity(path: folder + "/.") == nil else { return }
    do {
      try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    } catch {
      throw StoreError(
        .unavailable,
        "the folder \(folder) for batchd's store cannot be made; as batchd's user, mkdir -p says why"
      )
    }
  }

  public func identity() async throws -> String {
    try await read { try String.fetchOne($0, sql: "SELECT identity FROM batchd_store") ?? "" }
  }

  public func epoch(of prefix: String) async throws -> Int {
    try await read { db in
      try Int.fetchOne(
        db,
        sql: """
          SELECT max(epoch) FROM (
            SELECT epoch FROM batchd_epochs WHERE prefix = ?1
            UNION ALL
            SELECT epoch FROM batchd_store
            WHERE NOT EXISTS (SELECT 1 FROM batchd_epochs WHERE prefix = ?1)
              OR NOT EXISTS (SELECT 1 FROM batchd_epochs WHERE prefix <> ?1)
          )
          """, arguments: [prefix]) ?? 0
    }
  }

  public func raise(epoch: Int, of prefix: String) async throws {
    try await write { db in
      try db.execute(
        sql: """
          INSERT INTO batchd_epochs (prefix, epoch) VALUES (?2, ?1)
          ON CONFLICT (prefix) DO UPDATE SET epoch = excluded.epoch WHERE epoch < excluded.epoch
          """, arguments: [epoch, prefix])
      try db.execute(
        sql: "UPDATE batchd_store SET epoch = ?1 WHERE epoch < ?1", arguments: [epoch])
    }
  }

  public func raise(
    fence: Fence, of job: StageJob, prefix: String, forgotten: String?
  ) async throws {
    try await write {
      try SQLiteFence.raise(fence, of: job, prefix: prefix, forgotten: forgotten, $0)
    }
  }

  public func upsert(_ documents: [JobDocument], for job: StageJob) async throws -> Int {
    try await write { db in
      try SQLiteFence.require(job, db)
      // Rows that would not change are not written: most jobs of a refresh are as they were.
      let statement = try db.cachedStatement(
        sql: """
          INSERT INTO jobs (uuid, account, batch, content_hash, created_at, updated_at, document)
          VALUES (?, ?, ?, ?, \(SQLiteSchema.now), \(SQLiteSchema.now), ?)
          ON CONFLICT (uuid, account) DO UPDATE SET
            batch = excluded.batch, content_hash = excluded.content_hash,
            updated_at = excluded.updated_at, document = excluded.document
          WHERE content_hash <> excluded.content_hash OR document <> excluded.document
          """)
      var changed = 0
      for document in documents {
        try statement.execute(arguments: [
          document.uuid, document.account, job.batch, document.contentHash,
          String(decoding: document.document, as: UTF8.self),
        ])
        changed += db.changesCount
      }
      return changed
    }
  }

  public func contentHashes(account: String, uuids: [String]) async throws -> [String: String] {
    // One bound array instead of one placeholder per id: any count, one cached statement.
    let list = String(decoding: JSON.array(uuids.map(JSON.string)).bytes, as: UTF8.self)
    return try await read { db in
      let rows = try Row.fetchAll(
        db.cachedStatement(
          sql: """
            SELECT uuid, content_hash FROM jobs
            WHERE account = ? AND uuid IN (SELECT value FROM json_each(?))
            """), arguments: [account, list])
      return Dictionary(uniqueKeysWithValues: rows.map { ($0[0], $0[1]) })
    }
  }

  public func jobs(account: String, after: String?, limit: Int) async throws -> [String] {
    try await read { db in
      try String.fetchAll(
        db.cachedStatement(
          sql: "SELECT uuid FROM jobs WHERE account = ? AND uuid > ? ORDER BY uuid LIMIT ?"),
        arguments: [account, after ?? "", limit])
    }
  }

  public func add(_ documents: [JobDocument]) async throws -> Int {
    try await write { db in
      let statement = try db.cachedStatement(
        sql: """
          INSERT INTO jobs (uuid, account, batch, content_hash, created_at, updated_at, document)
          VALUES (?, ?, 'import', ?, \(SQLiteSchema.now), \(SQLiteSchema.now), ?)
          ON CONFLICT (uuid, account) DO NOTHING
          """)
      var added = 0
      for document in documents {
        try statement.execute(arguments: [
          document.uuid, document.account, document.contentHash,
          String(decoding: document.document, as: UTF8.self),
        ])
        added += db.changesCount
      }
      return added
    }
  }

  public func record(_ ended: [EndedBatch]) async throws {
    try await write { db in
      for batch in ended { try SQLiteHistory.record(batch, db) }
    }
  }

  public func history(_ query: HistoryQuery) async throws -> [EndedBatch] {
    try query.check()
    return try await read { try SQLiteHistory.runs(query, $0) }
  }

  public func close() async throws {
    do { try queue.close() } catch let error as DatabaseError {
      throw StoreError(error, path: path)
    }
  }

  private func read<Value: Sendable>(
    _ body: @Sendable (Database) throws -> Value
  ) async throws -> Value {
    do { return try await queue.read(body) } catch let error as DatabaseError {
      throw StoreError(error, path: path)
    }
  }

  /// Runs `body` in one immediate transaction: it holds the write lock before it reads.
  private func write<Value: Sendable>(
    _ point: String = #function, _ body: @Sendable (Database) throws -> Value
  ) async throws -> Value {
    // SQLite would go on writing into a file that nobody finds again.
    guard FileIdentity(path: path) == file else {
      throw StoreError(
        .unavailable,
        "\(path) was removed or replaced while batchd had it open; put it back, or restart the workers to use what is there now"
      )
    }
    #if FAILPOINTS
      Failpoints.pass(point, .before)
      defer { Failpoints.pass(point, .after) }
    #endif
    do {
      return try await queue.write { db in
        let value = try body(db)
        #if FAILPOINTS
          Failpoints.pass(point, .within)
        #endif
        return value
      }
    } catch let error as DatabaseError {
      throw StoreError(error, path: path)
    }
  }
}
