internal import CPostgres
public import Pipeline

#if FAILPOINTS
  internal import Failpoints
#endif

/// Results and history in a PostgreSQL database (13 or later), shared by workers of any number of hosts.
///
/// Each process holds one connection; its calls wait for each other. A lost connection is opened anew. The tables are in
/// `PostgreSQLSchema`.
public struct PostgreSQLStore: ResultsStore {
  private let connection: PostgreSQLConnection

  /// Connects, and makes the tables where they are missing.
  ///
  /// - Parameters:
  ///   - address: as libpq takes it: `postgresql://USER@HOST/DATABASE?sslmode=verify-full`, `host=… dbname=…` or
  ///     `service=NAME`, without a password. PGHOST, PGSSLMODE and the like count for what it leaves out.
  ///   - password: nil leaves it to PGPASSFILE, PGPASSWORD or the service.
  ///   - timeoutMilliseconds: how long a call may take. It should be less than a lease, so that a worker that cannot write
  ///     still has the time to hand its work back.
  ///   - makesTables: false refuses a database in which there are none yet.
  /// - Throws: `StoreError` with code `.invalid`, `.unavailable` or `.incompatible`.
  public init(
    _ address: String, password: String? = nil, timeoutMilliseconds: Int = 10_000,
    makesTables: Bool = true
  ) async throws {
    if let mistake = try Self.mistake(in: address) {
      throw StoreError(.invalid, "the address of the PostgreSQL store \(mistake)")
    }
    // What the address says counts more than what stands before it; libpq takes no connect_timeout under 2.
    var settings = [
      ("connect_timeout", "\(max(2, timeoutMilliseconds / 2_000))"), ("keepalives_idle", "30"),
      ("tcp_user_timeout", "\(timeoutMilliseconds)"), ("fallback_application_name", "batchd"),
      ("dbname", address), ("client_encoding", "UTF8"),
    ]
    if let password { settings.append(("password", password)) }
    connection = PostgreSQLConnection(
      settings: settings, timeoutMilliseconds: timeoutMilliseconds)
    try await connection.open(by: connection.deadline) { place, run in
      #if FAILPOINTS
        Failpoints.pass("migrate", .before)
        defer { Failpoints.pass("migrate", .after) }
      #endif
      let identity = try PostgreSQLSchema.migrate(place: place, makesTables: makesTables, run)
      #if FAILPOINTS
        Failpoints.pass("migrate", .within)
      #endif
      _ = try run("COMMIT")
      return identity
    }
  }

  /// What is wrong with the address of a database, or nil. Repeats nothing of it: a password may be in any place.
  /// - Throws: `StoreError` with code `.unavailable` without libpq, which alone can tell.
  public static func mistake(in address: String) throws -> String? {
    let pq = try LibPQ.load()
    guard !address.utf8.contains(0), let options = pq.PQconninfoParse(address, nil) else {
      return "must be postgresql://USER@HOST/DATABASE, or KEY=VALUE pairs as libpq takes them"
    }
    defer { pq.PQconninfoFree(options) }
    var option = options
    while let keyword = option.pointee.keyword {
      let name = String(cString: keyword)
      if let value = option.pointee.val.map({ String(cString: $0) }) {
        // libpq's own mark of what is secret.
        if option.pointee.dispchar.pointee == CChar(UInt8(ascii: "*")) {
          return "must not hold a password (\(name)), which would be copied and shown with it"
        }
        // Where a password with characters of its own takes an address apart, its pieces land here.
        if ["host", "hostaddr"].contains(name), value.contains("@") {
          return "must not hold an @ after that of the user, nor a password"
        }
        if name == "port", value.contains(where: { !",0123456789".contains($0) }) {
          return "must have a port that is a number, and no password"
        }
      }
      option += 1
    }
    return nil
  }

  public func identity() async throws -> String {
    try await read(.identity).first?[0] ?? ""
  }

  public func epoch(of prefix: String) async throws -> Int {
    try await read(.epoch, [.text(prefix)]).first?[0].flatMap { Int($0) } ?? 0
  }

  public func raise(epoch: Int, of prefix: String) async throws {
    _ = try await write(.raiseEpoch, [.integer(epoch), .text(prefix)])
  }

  public func raise(
    fence: Fence, of job: StageJob, prefix: String, forgotten: String?
  ) async throws {
    let raised = try await write(
      .raiseFence,
      [
        .text(job.batch), .integer(job.run), .text(job.pipeline), .text(job.account),
        .text(job.operation), .integer(job.number), .text(job.stage.rawValue),
        .integer(job.itemCount), .integer(fence.epoch), .integer(fence.counter), .text(prefix),
        .text(forgotten),
      ])
    if raised.isEmpty { throw try await refusal(of: job, fence: fence, prefix: prefix) }
  }

  public func upsert(_ documents: [JobDocument], for job: StageJob) async throws -> Int {
    let counts = try await write(
      .upsert,
      [
        .text(job.batch), .integer(job.fence.epoch), .integer(job.fence.counter),
        .integer(job.run), .texts(documents.map { Array($0.uuid.utf8) }),
        .texts(documents.map { Array($0.account.utf8) }),
        .texts(documents.map { Array($0.contentHash.utf8) }), .texts(documents.map(\.document)),
      ])
    guard let count = counts.first, count[0] == "1" else {
      throw try await refusal(of: job, fence: job.fence)
    }
    return count[1].flatMap { Int($0) } ?? 0
  }

  public func contentHashes(account: String, uuids: [String]) async throws -> [String: String] {
    let rows = try await read(
      .contentHashes, [.text(account), .texts(uuids.map { Array($0.utf8) })])
    return Dictionary(uniqueKeysWithValues: rows.map { ($0[0] ?? "", $0[1] ?? "") })
  }

  public func jobs(account: String, after: String?, limit: Int) async throws -> [String] {
    try await read(.jobs, [.text(account), .text(after ?? ""), .integer(limit)])
      .compactMap { $0[0] }
  }

  public func add(_ documents: [JobDocument]) async throws -> Int {
    let added = try await write(
      .add,
      [
        .texts(documents.map { Array($0.uuid.utf8) }),
        .texts(documents.map { Array($0.account.utf8) }),
        .texts(documents.map { Array($0.contentHash.utf8) }), .texts(documents.map(\.document)),
      ])
    return added.first?[0].flatMap { Int($0) } ?? 0
  }

  public func record(_ ended: [EndedBatch]) async throws {
    let rows = JSON.array(ended.map(PostgreSQLHistory.row)).bytes
    _ = try await write(.record, [.text(String(decoding: rows, as: UTF8.self))])
  }

  public func history(_ query: HistoryQuery) async throws -> [EndedBatch] {
    try query.check()
    let rows = try await read(
      PostgreSQLHistory.statement(query), query.conditions.map { .text($0.value) })
    return try rows.map(EndedRow.ended)
  }

  public func close() async throws { await connection.close() }

  private func refusal(
    of job: StageJob, fence: Fence, prefix: String? = nil
  ) async throws -> StoreError {
    let row = try await read(.fence, [.text(job.batch)]).first
    return StoreError(
      refusing: job, fence: fence, prefix: prefix,
      held: row.map { row in
        let numbers = [row[0], row[2], row[3]].map { $0.flatMap { Int($0) } ?? 0 }
        return HeldFence(
          run: numbers[0], status: row[1] ?? "",
          fence: Fence(epoch: numbers[1], counter: numbers[2]), prefix: row[4])
      })
  }

  private func read(
    _ statement: PostgreSQLStatement, _ parameters: [PostgreSQLParameter] = []
  ) async throws -> PostgreSQLRows {
    try await connection.run(statement, parameters, by: connection.deadline)
  }

  private func write(
    _ statement: PostgreSQLStatement, _ parameters: [PostgreSQLParameter],
    _ point: String = #function
  ) async throws -> PostgreSQLRows {
    #if FAILPOINTS
      Failpoints.pass(point, .before)
      defer { Failpoints.pass(point, .after) }
    #endif
    return try await connection.run(
      statement, parameters, point: point, by: connection.deadline)
  }
}
