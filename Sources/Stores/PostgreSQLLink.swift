internal import CPostgres
internal import Glibc

#if FAILPOINTS
  internal import Failpoints
#endif

/// What the server answered, row by row; NULL is nil.
typealias PostgreSQLRows = [[String?]]

/// One connection to a server, from its opening to its loss. Every call ends at its deadline: a connection whose answer
/// did not come until then is of no more use.
final class PostgreSQLLink {
  private let pq: LibPQ
  private let connection: OpaquePointer
  /// The statements that this connection knows.
  private var prepared: Set<String> = []

  /// - Parameter settings: libpq's keywords; of one that stands twice the later counts.
  /// - Throws: `PostgreSQLFailure`, or `StoreError` without libpq.
  init(_ settings: [(key: String, value: String)]) throws {
    pq = try LibPQ.load()
    let keys = settings.map { strdup($0.key) }
    let values = settings.map { strdup($0.value) }
    defer { for text in keys + values { free(text) } }
    let names = (keys + [nil]).map { UnsafePointer($0) }
    let texts = (values + [nil]).map { UnsafePointer($0) }
    // With 1 libpq takes a whole connection string, or a service's name, for the first dbname.
    guard let connection = pq.PQconnectdbParams(names, texts, 1) else {
      throw PostgreSQLFailure(.unopened, "no memory for a connection")
    }
    self.connection = connection
    guard pq.PQstatus(connection) == CONNECTION_OK else {
      let reason: PostgreSQLFailure.Reason =
        pq.PQconnectionNeedsPassword(connection) == 1 ? .passwordless : .unopened
      throw failure(reason)
    }
    // libpq writes what a server remarks to stderr.
    _ = pq.PQsetNoticeProcessor(connection, { _, _ in }, nil)
    _ = pq.PQsetnonblocking(connection, 1)
  }

  deinit { pq.PQfinish(connection) }

  /// Which database it is, for messages. Never the user, never a password.
  var place: String {
    let host = Self.text(pq.PQhost(connection))
    let port = host.hasPrefix("/") ? "" : ":\(Self.text(pq.PQport(connection)))"
    return "the database \(Self.text(pq.PQdb(connection))) at \(host)\(port)"
  }

  /// Runs statements without parameters, separated by semicolons; the rows are those of the last.
  func run(_ text: String, by deadline: ContinuousClock.Instant) throws(PostgreSQLFailure)
    -> PostgreSQLRows
  {
    guard pq.PQsendQuery(connection, text) == 1 else { throw failure(.lost) }
    return try answer(by: deadline)
  }

  /// Runs one statement, prepared at its first use on this connection.
  /// - Parameter point: the failpoint between sending and the answer: nobody but the server knows whether it ran.
  func run(
    _ statement: PostgreSQLStatement, _ parameters: [PostgreSQLParameter], point: String?,
    by deadline: ContinuousClock.Instant
  ) throws(PostgreSQLFailure) -> PostgreSQLRows {
    if let name = statement.name, !prepared.contains(name) {
      guard pq.PQsendPrepare(connection, name, statement.text, 0, nil) == 1 else {
        throw failure(.lost)
      }
      _ = try answer(by: deadline)
      prepared.insert(name)
    }
    guard send(statement, parameters) else { throw failure(.lost) }
    try flush(by: deadline)
    #if FAILPOINTS
      if let point { Failpoints.pass(point, .within) }
    #endif
    return try answer(by: deadline)
  }

  private func send(_ statement: PostgreSQLStatement, _ parameters: [PostgreSQLParameter]) -> Bool {
    var bytes: [UInt8] = []
    var places: [Range<Int>?] = []
    for parameter in parameters.map(\.bytes) {
      let start = bytes.count
      bytes += parameter ?? []
      places.append(parameter == nil ? nil : start..<bytes.count)
    }
    // An empty text is a pointer to nothing, NULL no pointer: there must be something to point to.
    bytes.append(0)
    let count = Int32(parameters.count)
    let lengths = places.map { Int32($0?.count ?? 0) }
    let formats = [Int32](repeating: 1, count: parameters.count)
    return bytes.withUnsafeBytes { buffer in
      let start = buffer.baseAddress!.assumingMemoryBound(to: CChar.self)
      let values = places.map { $0.map { start + $0.lowerBound } }
      guard let name = statement.name else {
        return pq.PQsendQueryParams(
          connection, statement.text, count, nil, values, lengths, formats, 0) == 1
      }
      return pq.PQsendQueryPrepared(connection, name, count, values, lengths, formats, 0) == 1
    }
  }

  private func flush(by deadline: ContinuousClock.Instant) throws(PostgreSQLFailure) {
    while true {
      switch pq.PQflush(connection) {
      case 0: return
      case 1:
        try wait(for: POLLIN | POLLOUT, by: deadline)
        // A server that does not take any more before its own answers are read.
        guard pq.PQconsumeInput(connection) == 1 else { throw failure(.lost) }
      default: throw failure(.lost)
      }
    }
  }

  /// Reads what the server says to the end.
  private func answer(by deadline: ContinuousClock.Instant) throws(PostgreSQLFailure)
    -> PostgreSQLRows
  {
    try flush(by: deadline)
    var rows: PostgreSQLRows = []
    var refused: PostgreSQLFailure?
    while true {
      while pq.PQisBusy(connection) == 1 {
        try wait(for: POLLIN, by: deadline)
        guard pq.PQconsumeInput(connection) == 1 else { throw failure(.lost) }
      }
      guard let result = pq.PQgetResult(connection) else { break }
      defer { pq.PQclear(result) }
      switch pq.PQresultStatus(result) {
      case PGRES_COMMAND_OK, PGRES_TUPLES_OK: rows = self.rows(of: result)
      default: refused = refused ?? failure(of: result)
      }
    }
    if let refused { throw refused }
    return rows
  }

  private func wait(
    for events: Int32, by deadline: ContinuousClock.Instant
  ) throws(PostgreSQLFailure) {
    var descriptor = pollfd(fd: pq.PQsocket(connection), events: Int16(events), revents: 0)
    while true {
      let left = (deadline - .now) / .milliseconds(1)
      guard left > 0 else { throw PostgreSQLFailure(.late, "no answer in time") }
      // Rounded up: a wait of 0 would spin through the last millisecond.
      let count = poll(&descriptor, 1, Int32(min(left.rounded(.up), 1_000_000)))
      if count > 0 { return }
      if count < 0, errno != EINTR { throw failure(.lost) }
    }
  }

  private func rows(of result: OpaquePointer) -> PostgreSQLRows {
    (0..<pq.PQntuples(result)).map { row in
      (0..<pq.PQnfields(result)).map { column in
        pq.PQgetisnull(result, row, column) == 1
          ? nil : Self.text(pq.PQgetvalue(result, row, column))
      }
    }
  }

  private static func text(_ value: UnsafePointer<CChar>?) -> String {
    value.map { String(cString: $0) } ?? ""
  }

  private func failure(_ reason: PostgreSQLFailure.Reason) -> PostgreSQLFailure {
    PostgreSQLFailure(reason, Self.text(pq.PQerrorMessage(connection)))
  }

  private func failure(of result: OpaquePointer) -> PostgreSQLFailure {
    func field(_ code: Character) -> String? {
      pq.PQresultErrorField(result, Int32(code.asciiValue!)).map { String(cString: $0) }
    }
    // PG_DIAG_SQLSTATE and PG_DIAG_MESSAGE_PRIMARY, macros that Swift does not see. The detail is left out: it
    // quotes values.
    guard let state = field("C") else { return failure(.lost) }
    // A server that shuts down, or ends this session, says so before it closes the connection.
    let isLast = state.hasPrefix("57P") || state.hasPrefix("08") || state == "25P03"
    return PostgreSQLFailure(isLast ? .lost : .refused(state), field("M") ?? state)
  }
}
