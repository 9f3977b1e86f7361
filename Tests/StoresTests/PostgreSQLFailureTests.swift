import Foundation
import TestSupport
import Testing

@testable import Stores

/// What happens when the server does not do its part, and that the store goes on once it does.
@Suite struct PostgreSQLFailureTests {
  @Test func aServerThatIsAwayIsUnavailableAndItsReturnIsNoticed() async throws {
    let server = try await TestPostgreSQL()
    let address = try await server.database("results")
    let store = try await PostgreSQLStore(address)
    try await store.raise(.sample(fence: 1, 1))
    server.stop()
    let error = await #expect(throws: StoreError.self) { try await store.epoch() }
    #expect(error?.code == .unavailable)
    #expect(error?.message.contains("the database results at \(server.folder)") == true)
    #expect(error?.message.contains("start the server") == true)
    try await server.start()
    await eventually("the store is there again") {
      try await store.upsert([.sample("AAAAAA")], for: .sample(fence: 1, 1)) == 1
    }
    try await store.close()
  }

  @Test func aServerKilledInTheMiddleOfAWriteLosesNothingThatWasSaid() async throws {
    let server = try await TestPostgreSQL()
    let address = try await server.database()
    let store = try await PostgreSQLStore(address)
    try await store.raise(.sample(fence: 1, 1))
    #expect(try await store.upsert([.sample("AAAAAA")], for: .sample(fence: 1, 1)) == 1)
    var other: PostgreSQLClient? = try PostgreSQLClient(address)
    try other?.rows("BEGIN")
    try other?.insertJob("BBBBBB")
    async let code = refusal {
      _ = try await store.upsert([.sample("BBBBBB")], for: .sample(fence: 1, 1))
    }
    await waiting(1, at: address)
    server.kill()
    #expect(try await code == .unavailable)
    other = nil
    try await server.start()
    await eventually("the store is there again") {
      try await store.upsert([.sample("BBBBBB")], for: .sample(fence: 1, 1)) == 1
    }
    #expect(
      try PostgreSQLClient(address).rows("SELECT uuid FROM jobs ORDER BY uuid")
        == ["AAAAAA", "BBBBBB"])
    try await store.close()
  }

  /// Five of them: more than the pool has threads, which they must not take from anybody.
  @Test func aHeldLockIsUnavailableAndPasses() async throws {
    let address = try await sharedPostgreSQL.value.database()
    let first = try await PostgreSQLStore(address, timeoutMilliseconds: 2_000)
    try await first.raise(.sample(fence: 1, 1))
    let other = try PostgreSQLClient(address)
    try other.rows("BEGIN; UPDATE batches SET error = 'held'")
    try await withThrowingTaskGroup(of: StoreError.Code?.self) { group in
      for number in 1...5 {
        group.addTask {
          let store = try await PostgreSQLStore(address, timeoutMilliseconds: 2_000)
          let error = await #expect(throws: StoreError.self) {
            try await store.raise(.sample(fence: 1, number))
          }
          #expect(error?.message.contains("another transaction holds") == true)
          #expect(try await store.epoch() == 0, "the connection goes on")
          try await store.close()
          return error?.code
        }
      }
      await waiting(5, at: address)
      for try await code in group { #expect(code == .unavailable) }
    }
    try other.rows("ROLLBACK")
    try await first.raise(.sample(fence: 1, 2))
    try await first.close()
  }

  @Test func aCutConnectionCostsNothing() async throws {
    let address = try await sharedPostgreSQL.value.database()
    let store = try await PostgreSQLStore(address)
    try await store.raise(.sample(fence: 1, 1))
    let other = try PostgreSQLClient(address)
    try other.terminate()
    try await store.raise(.sample(fence: 1, 2))
    // And in the middle of a call.
    try other.rows("BEGIN")
    try other.insertJob("AAAAAA")
    async let written = store.upsert([.sample("AAAAAA")], for: .sample(fence: 1, 2))
    await waiting(1, at: address)
    try PostgreSQLClient(address).terminate()
    await waiting(1, at: address)
    try other.rows("ROLLBACK")
    #expect(try await written == 1)
    try await store.close()
  }

  /// A network that went away looks like this: no answer, no end.
  @Test func aSilentServerEndsTheCallAtItsDeadline() async throws {
    let address = try await sharedPostgreSQL.value.database()
    let store = try await PostgreSQLStore(address, timeoutMilliseconds: 1_000)
    try await store.raise(.sample(fence: 1, 1))
    let other = try PostgreSQLClient(address)
    let pid = try #require(pid_t(try other.rows("SELECT pid FROM \(PostgreSQLClient.stores)")[0]))
    kill(pid, SIGSTOP)
    let start = ContinuousClock.now
    async let behind = refusal { _ = try await store.epoch() }
    let error = await #expect(throws: StoreError.self) {
      try await store.raise(.sample(fence: 1, 2))
    }
    let later = try await behind
    let time = ContinuousClock.now - start
    kill(pid, SIGCONT)
    #expect(error?.code == .unavailable)
    #expect(later == .unavailable || later == nil, "it had a new connection, or no time left")
    #expect(time >= .seconds(1))
    #expect(time < .seconds(2) * Pace.slowness, "the one behind has no second of its own")
    try await store.raise(.sample(fence: 1, 3))
    try await store.close()
  }

  @Test func aReadOnlyDatabaseIsUnavailableAndPasses() async throws {
    let server = try await sharedPostgreSQL.value
    let address = try await server.database()
    let store = try await PostgreSQLStore(address)
    try await store.raise(.sample(fence: 1, 1))
    let other = try PostgreSQLClient(address)
    let name = try other.rows("SELECT current_database()")[0]
    try other.rows("ALTER DATABASE \(name) SET default_transaction_read_only = on")
    // The open store meets it at its next connection.
    try other.terminate()
    let error = await #expect(throws: StoreError.self) {
      try await store.upsert([.sample("AAAAAA")], for: .sample(fence: 1, 1))
    }
    #expect(error?.code == .unavailable)
    #expect(error?.message.contains("name a primary") == true)
    #expect(try await store.epoch() == 0, "it can be read")
    #expect(try await refusal { _ = try await PostgreSQLStore(address) } == .unavailable)
    try other.rows("ALTER DATABASE \(name) SET default_transaction_read_only = off")
    try other.terminate()
    #expect(try await store.upsert([.sample("AAAAAA")], for: .sample(fence: 1, 1)) == 1)
    try await store.close()
  }

  @Test func anotherStoreBehindTheSameAddressTakesNoWrites() async throws {
    let address = try await sharedPostgreSQL.value.database()
    let store = try await PostgreSQLStore(address)
    let other = try PostgreSQLClient(address)
    let identity = try await store.identity()
    try other.rows("UPDATE batchd_store SET identity = 'another'")
    try other.terminate()
    let error = await #expect(throws: StoreError.self) { try await store.raise(epoch: 5) }
    #expect(error?.code == .unavailable)
    #expect(error?.message.contains("another store") == true)
    #expect(try other.rows("SELECT epoch FROM batchd_store") == ["0"])
    try other.rows("UPDATE batchd_store SET identity = '\(identity)'")
    await eventually("the store is there again") {
      try await store.raise(epoch: 5)
      return true
    }
    try await store.close()
  }

  @Test func lostTablesAreIncompatible() async throws {
    let address = try await sharedPostgreSQL.value.database()
    let store = try await PostgreSQLStore(address)
    try await store.raise(.sample(fence: 1, 1))
    try PostgreSQLClient(address).rows("DROP TABLE jobs")
    let error = await #expect(throws: StoreError.self) {
      try await store.upsert([.sample("AAAAAA")], for: .sample(fence: 1, 1))
    }
    #expect(error?.code == .incompatible)
    #expect(error?.message.contains("tables are not as batchd made them") == true)
    try await store.close()
  }

  @Test func aClosedStoreSaysSo() async throws {
    let store = try await PostgreSQLStore(try await sharedPostgreSQL.value.database())
    try await store.close()
    let error = await #expect(throws: StoreError.self) { try await store.raise(epoch: 1) }
    #expect(error?.code == .unavailable)
    #expect(error?.message.contains("closed") == true)
  }
}

extension PostgreSQLClient {
  static let stores = """
    pg_stat_activity WHERE datname = current_database() AND application_name = 'batchd'
    """

  /// Ends the connections of stores, and waits for their ends.
  func terminate() throws {
    let ended = try rows("SELECT pg_terminate_backend(pid, 5000) FROM \(Self.stores)")
    // One that was closed a moment ago answers "f".
    guard ended.contains("t") else { throw PostgreSQLFailure(.lost, "no connection was ended") }
  }
}
