internal import Redis
import Synchronization

/// The dedicated connection of one fetch loop, kept over many blocked calls. A beat that finds a backlog behind it,
/// or a new epoch, closes it: a blocked call on a dead connection would wait for minutes.
final class BlockedConnection: Sendable {
  private struct State {
    var connection: RedisConnection?
    var since: ContinuousClock.Instant?
  }

  private let client: RedisClient
  private let state = Mutex(State())

  init(_ client: RedisClient) { self.client = client }

  /// Runs one blocked call.
  func call<T: Sendable>(_ body: (RedisConnection) async throws -> T) async throws -> T {
    let connection = try await current()
    state.withLock { $0.since = .now }
    defer { state.withLock { $0.since = nil } }
    do {
      return try await body(connection)
    } catch {
      await drop(connection)
      throw error
    }
  }

  /// Closes the connection when a call has been blocked on it for longer than `age`.
  func rearm(olderThan age: Duration) async {
    let stale = state.withLock { state -> RedisConnection? in
      guard let since = state.since, ContinuousClock.now - since >= age else { return nil }
      return state.connection
    }
    if let stale { await drop(stale) }
  }

  func close() async {
    if let connection = state.withLock({ $0.connection }) { await drop(connection) }
  }

  private func current() async throws -> RedisConnection {
    if let connection = state.withLock({ $0.connection }) { return connection }
    let connection = try await client.connect()
    state.withLock { $0.connection = connection }
    return connection
  }

  private func drop(_ connection: RedisConnection) async {
    state.withLock { if $0.connection === connection { $0.connection = nil } }
    await connection.close()
  }
}
