import Foundation
import Pipeline
import Stores
import TestSupport
import Testing

/// Several workers on one database, at the moments at which they could come between each other.
@Suite struct PostgreSQLRaceTests {
  /// A worker that was overtaken between the check of its fence and its write would be the zombie that nobody stops.
  @Test func aGreaterFenceWaitsForTheWriteUnderWay() async throws {
    let address = try await sharedPostgreSQL.value.database()
    let zombie = try await PostgreSQLStore(address)
    let holder = try await PostgreSQLStore(address)
    try await zombie.raise(.sample(fence: 1, 1))
    // The write gets past its fence and then waits for this row's key.
    let other = try PostgreSQLClient(address)
    try other.rows("BEGIN")
    try other.insertJob("BBBBBB")
    async let written = zombie.upsert(
      [.sample("AAAAAA"), .sample("BBBBBB")], for: .sample(fence: 1, 1))
    await waiting(1, at: address)
    async let raised: Void = holder.raise(.sample(fence: 1, 2))
    await waiting(2, at: address)
    try other.rows("ROLLBACK")
    #expect(try await written == 2)
    try await raised
    #expect(try other.rows("SELECT fence_counter FROM batches") == ["2"])
    try await zombie.close()
    try await holder.close()
  }

  @Test func aWriteWaitsForTheFenceBeingRaisedAndIsRefused() async throws {
    let address = try await sharedPostgreSQL.value.database()
    let zombie = try await PostgreSQLStore(address)
    try await zombie.raise(.sample(fence: 1, 1))
    let holder = try PostgreSQLClient(address)
    try holder.rows("BEGIN; UPDATE batches SET fence_counter = 2")
    async let code = refusal {
      _ = try await zombie.upsert([.sample("AAAAAA")], for: .sample(fence: 1, 1))
    }
    await waiting(1, at: address)
    try holder.rows("COMMIT")
    #expect(try await code == .fenced)
    #expect(try holder.rows("SELECT * FROM jobs").isEmpty)
    try await zombie.close()
  }

  @Test func anEndThatComesDuringAWriteIsNotOverwritten() async throws {
    let address = try await sharedPostgreSQL.value.database()
    let worker = try await PostgreSQLStore(address)
    try await worker.raise(.sample(fence: 1, 1))
    let other = try PostgreSQLClient(address)
    try other.rows("BEGIN; UPDATE batches SET status = 'cancelled', finished_at = now()")
    async let code = refusal { try await worker.raise(.sample(fence: 1, 1)) }
    await waiting(1, at: address)
    try other.rows("COMMIT")
    #expect(try await code == .fenced)
    #expect(try other.rows("SELECT status FROM batches") == ["cancelled"])
    try await worker.close()
  }

  /// Two workers may be given the same pages of the outbox, and list their batches in any order.
  @Test func twoThatRecordTheSameRunsNeverWaitForEachOther() async throws {
    let address = try await sharedPostgreSQL.value.database()
    try await withThrowingTaskGroup { group in
      for worker in 0..<4 {
        group.addTask {
          let store = try await PostgreSQLStore(address)
          for round in 1...25 {
            let ended = (1...40).map { EndedBatch.sample("b\($0)", run: round) }
            try await store.record(worker % 2 == 0 ? ended : ended.reversed())
          }
          try await store.close()
        }
      }
      try await group.waitForAll()
    }
    let client = try PostgreSQLClient(address)
    #expect(try client.rows("SELECT count(*) FROM batch_processing_data") == ["1000"])
    #expect(try client.rows("SELECT count(*), min(run) FROM batches") == ["40|25"])
  }

  @Test func eightOpenAnEmptyDatabaseAtOnce() async throws {
    let address = try await sharedPostgreSQL.value.database()
    let identities = try await withThrowingTaskGroup(of: String.self) { group in
      for _ in 0..<8 {
        group.addTask {
          let store = try await PostgreSQLStore(address)
          defer { Task { try await store.close() } }
          return try await store.identity()
        }
      }
      return try await group.reduce(into: Set<String>()) { $0.insert($1) }
    }
    #expect(identities.count == 1)
  }

  @Test func fourProcessesOpenAnEmptyDatabaseAtOnceAndWrite() async throws {
    let address = try await sharedPostgreSQL.value.database()
    async let first: Void = work(as: 0, at: address)
    async let second: Void = work(as: 1, at: address)
    async let third: Void = work(as: 2, at: address)
    async let fourth: Void = work(as: 3, at: address)
    _ = await (first, second, third, fourth)
    let client = try PostgreSQLClient(address)
    #expect(try client.rows("SELECT count(*), count(DISTINCT batch) FROM jobs") == ["1000|100"])
    #expect(
      try client.rows("SELECT status, count(*) FROM batches GROUP BY status") == ["completed|100"])
    #expect(try client.rows("SELECT count(*) FROM batch_processing_data") == ["100"])
    #expect(try client.rows("SELECT schema_version FROM batchd_store") == ["1"])
  }

  /// Each life ends at the first point at which none has ended before, under a fence of its own.
  @Test func aWriterKilledAtEveryPointLosesNothing() async throws {
    let address = try await sharedPostgreSQL.value.database()
    try await withFolder { folder in
      let writes = [
        "migrate", "raise(epoch:of:)", "raise(fence:of:prefix:forgotten:)", "upsert(_:for:)",
        "record(_:)",
      ]
      let points = writes.flatMap { write in
        ["before", "within", "after"].map { "\(write).\($0)" }
      }
      for life in 1...(points.count + 1) {
        let isLast = life > points.count
        await #expect(processExitsWith: isLast ? .success : .signal(SIGKILL)) {
          [address = address as String, folder = folder as String, life = life as Int] in
          setenv("BATCHD_FAILPOINT", "kill", 1)
          setenv("BATCHD_FAILPOINT_TRACE", folder + "/trace", 1)
          let store = try await PostgreSQLStore(address)
          try await store.raise(epoch: 1)
          let job = StageJob.sample(fence: 1, life)
          try await store.raise(job)
          _ = try await store.upsert([.sample("AAAAAA"), .sample("BBBBBB")], for: job)
          try await store.record([.sample()])
          try await store.close()
        }
      }
      let trace = try String(contentsOfFile: folder + "/trace", encoding: .utf8)
      #expect(Set(trace.split(separator: "\n").map(String.init)) == Set(points))
    }
    let client = try PostgreSQLClient(address)
    #expect(try client.rows("SELECT uuid FROM jobs ORDER BY uuid") == ["AAAAAA", "BBBBBB"])
    #expect(try client.rows("SELECT status, fence_counter FROM batches") == ["completed|16"])
    #expect(try client.rows("SELECT status FROM batch_processing_data") == ["completed"])
    #expect(try client.rows("SELECT epoch FROM batchd_store") == ["1"])
  }

  /// The server learns of the death only when it answers; what it was told under a fence that held, it may do.
  @Test func aWriterKilledInItsWriteLeavesAllOfItOrNothing() async throws {
    let address = try await sharedPostgreSQL.value.database()
    await #expect(processExitsWith: .signal(SIGKILL)) { [address = address as String] in
      let store = try await PostgreSQLStore(address)
      try await store.raise(.sample(fence: 1, 1))
      let other = try PostgreSQLClient(address)
      try other.rows("BEGIN")
      try other.insertJob("BBBBBB")
      async let written = store.upsert(
        [.sample("AAAAAA"), .sample("BBBBBB")], for: .sample(fence: 1, 1))
      await waiting(1, at: address)
      kill(getpid(), SIGKILL)
      _ = try await written
    }
    let store = try await PostgreSQLStore(address)
    try await store.raise(.sample(fence: 1, 2))
    let changed = try await store.upsert(
      [.sample("AAAAAA"), .sample("BBBBBB")], for: .sample(fence: 1, 2))
    #expect([0, 2].contains(changed))
    #expect(
      try PostgreSQLClient(address).rows("SELECT uuid, status FROM jobs ORDER BY uuid")
        == ["AAAAAA|Submitted", "BBBBBB|Submitted"])
    try await store.close()
  }
}

/// Runs a process that opens the database beside three others and writes 25 batches.
private func work(as worker: Int, at address: String) async {
  await #expect(processExitsWith: .success) {
    [address = address as String, worker = worker as Int] in
    // The four meet where a fifth would be too many.
    let meeting = try PostgreSQLClient(address)
    try meeting.rows("SELECT pg_advisory_lock_shared(\(worker))")
    await eventually(within: .seconds(60), "four processes are there") {
      try meeting.rows(
        "SELECT count(DISTINCT objid) FROM pg_locks JOIN pg_database d ON d.oid = database"
          + " WHERE locktype = 'advisory' AND objid < 4 AND datname = current_database()") == ["4"]
    }
    let store = try await PostgreSQLStore(address)
    try await write(25, batchesAs: worker, to: store)
    // Whoever left early would keep the others waiting.
    await eventually(within: .seconds(60), "all have opened it") {
      try meeting.rows("SELECT count(DISTINCT split_part(batch, '-', 1)) FROM batches") == ["4"]
    }
  }
}

/// Returns when so many calls of stores wait for a lock.
func waiting(_ count: Int, at address: String) async {
  await eventually("\(count) wait for a lock") {
    try PostgreSQLClient(address).rows(
      """
      SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
        AND application_name = 'batchd' AND wait_event_type = 'Lock'
      """) == ["\(count)"]
  }
}

extension PostgreSQLClient {
  func insertJob(_ uuid: String) throws {
    try rows(
      """
      INSERT INTO jobs (uuid, account, batch, content_hash, created_at, updated_at, document)
      VALUES ('\(uuid)', 'acme', 'other', 'h', now(), now(), '{}')
      """)
  }
}
