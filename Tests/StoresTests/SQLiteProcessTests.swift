import Foundation
import GRDB
import Stores
import Testing

@testable import struct Stores.SQLiteStore

/// Several processes on one file, as the workers of one host are.
@Suite struct SQLiteProcessTests {
  @Test func fourProcessesOpenANewFileAtOnceAndWrite() async throws {
    try await withFolder { folder in
      async let first: Void = work(as: 0, in: folder)
      async let second: Void = work(as: 1, in: folder)
      async let third: Void = work(as: 2, in: folder)
      async let fourth: Void = work(as: 3, in: folder)
      _ = await (first, second, third, fourth)
      let path = folder + "/store.sqlite"
      let jobs = try sqliteRows("SELECT count(*), count(DISTINCT batch) FROM jobs", of: path)
      #expect(jobs == ["1000|100"])
      #expect(
        try sqliteRows("SELECT status, count(*) FROM batches GROUP BY status", of: path)
          == ["completed|100"])
      #expect(try sqliteRows("SELECT count(*) FROM batch_processing_data", of: path) == ["100"])
      #expect(try sqliteRows("SELECT schema_version FROM batchd_store", of: path) == ["2"])
      #expect(try sqliteRows("PRAGMA integrity_check", of: path) == ["ok"])
    }
  }

  @Test func aWriterKilledInItsTransactionLeavesNothingOfIt() async throws {
    try await withFolder { folder in
      let path = folder + "/store.sqlite"
      await #expect(processExitsWith: .signal(SIGKILL)) { [path = path as String] in
        let store = try await SQLiteStore(path: path)
        try await store.raise(.sample(fence: 1, 1))
        _ = try await store.upsert([.sample("AAAAAA")], for: .sample(fence: 1, 1))
        try await store.queue.write { db in
          try db.execute(sql: "UPDATE jobs SET content_hash = 'half'")
          kill(getpid(), SIGKILL)
        }
      }
      let store = try await SQLiteStore(path: path, busyMilliseconds: 1_000)
      #expect(
        try await store.contentHashes(account: "acme", uuids: ["AAAAAA"])
          == ["AAAAAA": "hash of Submitted"])
      try await store.raise(.sample(fence: 1, 2))
      #expect(try await store.upsert([.sample("BBBBBB")], for: .sample(fence: 1, 2)) == 1)
      try await store.close()
    }
  }

  @Test func everyCommitIsSyncedToTheLog() async throws {
    try await withFolder { folder in
      let store = try await SQLiteStore(path: folder + "/store.sqlite")
      let (journal, synchronous) = try await store.queue.read { db in
        (
          try String.fetchOne(db, sql: "PRAGMA journal_mode"),
          try Int.fetchOne(db, sql: "PRAGMA synchronous")
        )
      }
      #expect(journal == "wal")
      #expect(synchronous == 2, "FULL")
      try await store.close()
    }
  }
}

/// Runs a process that opens the file at the same moment as the three others and writes 25 batches.
private func work(as worker: Int, in folder: String) async {
  await #expect(processExitsWith: .success) { [folder = folder as String, worker = worker as Int] in
    try await meet(4, as: worker, in: folder)
    let store = try await SQLiteStore(path: folder + "/store.sqlite")
    try await write(25, batchesAs: worker, to: store)
  }
}

/// Returns when `count` processes have come here.
private func meet(_ count: Int, as number: Int, in folder: String) async throws {
  _ = FileManager.default.createFile(atPath: "\(folder)/ready-\(number)", contents: nil)
  let all = (0..<count).map { "\(folder)/ready-\($0)" }
  while !all.allSatisfy(FileManager.default.fileExists(atPath:)) {
    try await Task.sleep(for: .milliseconds(1))
  }
}
