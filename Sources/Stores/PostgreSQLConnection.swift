/// A process's one way to its PostgreSQL database: the connection, and a new one when that is lost.
///
/// libpq blocks, so the calls run one after the other on a thread of their own.
actor PostgreSQLConnection {
  private let executor = BlockingExecutor(label: "batchd.store.postgresql")
  nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

  private let settings: [(key: String, value: String)]
  private let timeout: Duration
  private var link: PostgreSQLLink?
  private var isClosed = false
  /// Of the store that was opened: a new connection may lead to another one.
  private var identity: String?
  private var place = "PostgreSQL"
  /// How often in a row no connection could be opened, why, and until when nobody tries again.
  private var failures = 0
  private var lastFailure: StoreError?
  private var pauseEnd = ContinuousClock.now

  private static let firstPause = Duration.milliseconds(100)
  private static let longestPause = Duration.seconds(2)

  /// - Parameters:
  ///   - settings: libpq's keywords.
  ///   - timeoutMilliseconds: how long a call may take, its wait for the calls before it included.
  init(settings: [(key: String, value: String)], timeoutMilliseconds: Int) {
    self.settings = settings
    timeout = .milliseconds(timeoutMilliseconds)
  }

  /// When a call that is made now has to end.
  nonisolated var deadline: ContinuousClock.Instant { .now + timeout }

  /// Opens the first connection and runs `body` on it, which answers the identity of the store.
  func open(
    by deadline: ContinuousClock.Instant,
    _ body: @Sendable (_ place: String, _ run: (String) throws -> PostgreSQLRows) throws -> String
  ) throws {
    let link = try connected(by: deadline)
    do {
      identity = try body(place) { try link.run($0, by: deadline) }
    } catch let failure as PostgreSQLFailure {
      throw StoreError(failure, place: place)
    }
  }

  /// Runs `statement`. When the connection is lost under it, it is run once more on a new one: it may have run, and every
  /// statement may run twice, as its fence, its key or its comparison makes the second time change nothing.
  func run(
    _ statement: PostgreSQLStatement, _ parameters: [PostgreSQLParameter], point: String? = nil,
    by deadline: ContinuousClock.Instant
  ) throws -> PostgreSQLRows {
    for isLastTry in [false, true] {
      let link = try connected(by: deadline)
      do throws(PostgreSQLFailure) {
        return try link.run(statement, parameters, point: point, by: deadline)
      } catch {
        if error.reason == .lost || error.reason == .late { self.link = nil }
        guard error.reason == .lost, !isLastTry else { throw StoreError(error, place: place) }
      }
    }
    fatalError("the last try returned or threw")
  }

  func close() {
    isClosed = true
    link = nil
  }

  private func connected(by deadline: ContinuousClock.Instant) throws -> PostgreSQLLink {
    guard !isClosed else {
      throw StoreError(.unavailable, "\(place): it was closed; open the store again")
    }
    guard ContinuousClock.now < deadline else {
      throw StoreError(
        PostgreSQLFailure(.late, "the calls before this one took all of its time"), place: place)
    }
    if let link { return link }
    if let lastFailure, ContinuousClock.now < pauseEnd { throw lastFailure }
    do {
      let link = try connect(by: deadline)
      failures = 0
      self.link = link
      return link
    } catch {
      let failure = (error as? PostgreSQLFailure).map { StoreError($0, place: place) }
      // A server that is away is not knocked at by every call of every worker.
      pauseEnd = .now + min(Self.firstPause * (1 << min(failures, 5)), Self.longestPause)
      failures += 1
      lastFailure = failure ?? error as? StoreError
      throw failure ?? error
    }
  }

  private func connect(by deadline: ContinuousClock.Instant) throws -> PostgreSQLLink {
    let link = try PostgreSQLLink(settings)
    place = "PostgreSQL, \(link.place)"
    // Locks before statements before this side's own deadline, so that the message says what it was that took so long.
    let milliseconds = max(4, Int(timeout / .milliseconds(1)))
    _ = try link.run(
      """
      SET lock_timeout = \(milliseconds / 2);
      SET statement_timeout = \(milliseconds * 3 / 4);
      SET idle_in_transaction_session_timeout = \(milliseconds);
      SET default_transaction_isolation = 'read committed';
      -- Redis, told that something is done, will not offer it again: a commit must be on disk.
      SELECT set_config('synchronous_commit', 'on', false)
      WHERE current_setting('synchronous_commit') = 'off'
      """, by: deadline)
    if let identity {
      let there = try link.run(PostgreSQLStatement.identity, [], point: nil, by: deadline)
      guard there.first?[0] == identity else {
        throw StoreError(
          .unavailable,
          "\(place) holds another store than the one batchd had opened; put that back, or restart the workers to use"
            + " what is there now")
      }
    }
    return link
  }
}
