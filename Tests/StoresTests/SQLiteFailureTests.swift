import Foundation
import GRDB
import Stores
import Testing

@testable import struct Stores.SQLiteStore

/// What a person is told when the file or the disk does not do its part, and that the store goes on once it does.
@Suite struct SQLiteFailureTests {
  @Test func aFullDiskIsUnavailableAndPasses() async throws {
    try await withFolder { folder in
      let path = folder + "/store.sqlite"
      let store = try await SQLiteStore(path: path)
      try await store.raise(.sample(fence: 1, 1))
      // SQLite's own limit gives the very error of a full disk, on the store's own connection.
      try await store.queue.write { db in
        let pages = try Int.fetchOne(db, sql: "PRAGMA page_count")!
        try db.execute(sql: "PRAGMA max_page_count = \(pages + 2)")
      }
      let documents = (0..<500).map { JobDocument.sample("J\($0)") }
      let error = await #expect(throws: StoreError.self) {
        try await store.upsert(documents, for: .sample(fence: 1, 1))
      }
      #expect(error?.code == .unavailable)
      #expect(error?.message.contains(path) == true)
      #expect(error?.message.contains("free space") == true)
      #expect(try sqliteRows("SELECT count(*) FROM jobs", of: path) == ["0"])
      try await store.queue.write { try $0.execute(sql: "PRAGMA max_page_count = 100000") }
      #expect(try await store.upsert(documents, for: .sample(fence: 1, 1)) == 500)
      try await store.close()
    }
  }

  @Test func aHeldWriteLockIsUnavailableAndPasses() async throws {
    try await withFolder { folder in
      let path = folder + "/store.sqlite"
      let store = try await SQLiteStore(path: path, busyMilliseconds: 100)
      var configuration = Configuration()
      configuration.allowsUnsafeTransactions = true
      let other = try DatabaseQueue(path: path, configuration: configuration)
      try await other.writeWithoutTransaction { try $0.execute(sql: "BEGIN IMMEDIATE") }
      let error = await #expect(throws: StoreError.self) {
        try await store.raise(.sample(fence: 1, 1))
      }
      #expect(error?.code == .unavailable)
      #expect(error?.message.contains("write lock") == true)
      #expect(try await store.epoch() == 0, "readers do not wait for a writer")
      try await other.writeWithoutTransaction { try $0.execute(sql: "ROLLBACK") }
      try await store.raise(.sample(fence: 1, 1))
      try await store.close()
    }
  }

  @Test func aFileThatWasMovedAwayOrReplacedTakesNoWrites() async throws {
    try await withFolder { folder in
      let path = folder + "/store.sqlite"
      let store = try await SQLiteStore(path: path)
      try await store.raise(.sample(fence: 1, 1))
      try FileManager.default.moveItem(atPath: path, toPath: path + ".away")
      func write() async throws -> StoreError.Code? {
        try await refusal {
          _ = try await store.upsert([.sample("AAAAAA")], for: .sample(fence: 1, 1))
        }
      }
      #expect(try await write() == .unavailable)
      try Data("another file".utf8).write(to: URL(fileURLWithPath: path))
      #expect(try await write() == .unavailable)
      try FileManager.default.removeItem(atPath: path)
      try FileManager.default.moveItem(atPath: path + ".away", toPath: path)
      #expect(try await write() == nil)
      #expect(try sqliteRows("SELECT uuid FROM jobs", of: path) == ["AAAAAA"])
      try await store.close()
    }
  }

  @Test func openingWaitsForWhoeverHoldsANewFile() async throws {
    try await withFolder { folder in
      let path = folder + "/store.sqlite"
      var configuration = Configuration()
      configuration.allowsUnsafeTransactions = true
      let other = try DatabaseQueue(path: path, configuration: configuration)
      try await other.writeWithoutTransaction { try $0.execute(sql: "BEGIN IMMEDIATE") }
      let error = await #expect(throws: StoreError.self) {
        try await SQLiteStore(path: path, busyMilliseconds: 50)
      }
      #expect(error?.code == .unavailable)
      async let opening = SQLiteStore(path: path)
      // Nothing shows from outside that the opening has met the lock; were it late, it would only meet none.
      try await Task.sleep(for: .milliseconds(200))
      try await other.writeWithoutTransaction { try $0.execute(sql: "ROLLBACK") }
      let store = try await opening
      #expect(try await store.epoch() == 0)
      try await store.close()
    }
  }

  @Test func aMissingFolderIsMadeAndOneThatCannotBeIsNamed() async throws {
    try await withFolder { folder in
      let store = try await SQLiteStore(path: folder + "/a/b/store.sqlite")
      #expect(try await store.epoch() == 0)
      try await store.close()
      let file = folder + "/file"
      try Data("text".utf8).write(to: URL(fileURLWithPath: file))
      let error = await #expect(throws: StoreError.self) {
        try await SQLiteStore(path: file + "/b/store.sqlite")
      }
      #expect(error?.code == .unavailable)
      #expect(error?.message.contains(file + "/b") == true)
    }
  }

  @Test(arguments: ["folder", "files"]) func whatMayNotBeWrittenIsNamed(what: String) async throws {
    try await withFolder { folder in
      let path = folder + "/store.sqlite"
      try await SQLiteStore(path: path).close()
      if what == "files" {
        // In a folder with room for the log the file itself opens, for reading only, without an error.
        try setPermissions(0o777, of: folder)
        try setPermissions(0o444, of: path)
      } else {
        try setPermissions(0o666, of: path)
        try setPermissions(0o555, of: folder)
      }
      defer { try? setPermissions(0o755, of: folder) }
      // Root may write everything, so the attempt is made by a process that can stop being root.
      await #expect(processExitsWith: .success) { [path = path as String] in
        if getuid() == 0 { #expect(setuid(65534) == 0) }
        let error = await #expect(throws: StoreError.self) { try await SQLiteStore(path: path) }
        #expect(error?.code == .unavailable)
        #expect(error?.message.contains(path) == true)
        #expect(error?.message.contains("batchd's user") == true)
      }
    }
  }

  @Test func aFileThatIsNoDatabaseIsIncompatible() async throws {
    try await withFolder { folder in
      let path = folder + "/store.sqlite"
      try Data(repeating: 0x41, count: 8_192).write(to: URL(fileURLWithPath: path))
      let error = await #expect(throws: StoreError.self) { try await SQLiteStore(path: path) }
      #expect(error?.code == .incompatible)
      #expect(error?.message.contains(path) == true)
      #expect(try Data(contentsOf: URL(fileURLWithPath: path)).count == 8_192, "left as it was")
    }
  }

  @Test func aFileInTheFoldersPlaceIsToldOf() async throws {
    try await withFolder { folder in
      let file = folder + "/results"
      try Data().write(to: URL(fileURLWithPath: file))
      let path = file + "/store.sqlite"
      let error = await #expect(throws: StoreError.self) { try await SQLiteStore(path: path) }
      #expect(error?.code == .unavailable)
      #expect(error?.message.contains("the folder \(file)") == true)
      #expect(error?.message.contains("mkdir -p") == true)
    }
  }

  @Test func aDamagedDatabaseIsIncompatible() async throws {
    try await withFolder { folder in
      let path = folder + "/store.sqlite"
      try await SQLiteStore(path: path).close()
      // The first page, with the header and the list of tables, stays whole.
      let file = try FileHandle(forUpdating: URL(fileURLWithPath: path))
      let size = try file.seekToEnd()
      try file.seek(toOffset: 4_096)
      try file.write(contentsOf: Data(repeating: 0x41, count: Int(size) - 4_096))
      try file.close()
      let error = await #expect(throws: StoreError.self) { try await SQLiteStore(path: path) }
      #expect(error?.code == .incompatible)
      #expect(error?.message.contains("backup") == true)
    }
  }

  @Test func anotherProgramsDatabaseIsIncompatibleAndUntouched() async throws {
    try await withFolder { folder in
      let path = folder + "/store.sqlite"
      let other = try DatabaseQueue(path: path)
      try await other.write { try $0.execute(sql: "CREATE TABLE accounts (id INTEGER)") }
      let error = await #expect(throws: StoreError.self) { try await SQLiteStore(path: path) }
      #expect(error?.code == .incompatible)
      #expect(error?.message.contains("another program") == true)
      #expect(try sqliteRows("SELECT name FROM sqlite_schema", of: path) == ["accounts"])
    }
  }

  @Test func aNewerSchemaIsIncompatible() async throws {
    try await withFolder { folder in
      let path = folder + "/store.sqlite"
      let store = try await SQLiteStore(path: path)
      try await store.queue.write {
        try $0.execute(sql: "UPDATE batchd_store SET schema_version = 99")
      }
      try await store.close()
      let error = await #expect(throws: StoreError.self) { try await SQLiteStore(path: path) }
      #expect(error?.code == .incompatible)
      #expect(error?.message.contains("99") == true)
      #expect(try sqliteRows("SELECT schema_version FROM batchd_store", of: path) == ["99"])
    }
  }

  @Test func aFileOfTheFirstVersionKeepsItsHistory() async throws {
    try await withFolder { folder in
      let path = folder + "/store.sqlite"
      let store = try await SQLiteStore(path: path)
      try await store.record([.sample(status: "failed", error: "the first life")])
      // The one difference to the first version is the key.
      try await store.queue.write { db in
        let sql = "SELECT sql FROM sqlite_schema WHERE name = 'batch_processing_data'"
        let table = try #require(try String.fetchOne(db, sql: sql))
        let first = table.replacing("(batch, run, admitted_at)", with: "(batch, run)")
        #expect(first != table)
        try db.execute(
          sql: """
            CREATE TABLE rows AS SELECT * FROM batch_processing_data;
            DROP TABLE batch_processing_data;
            \(first);
            INSERT INTO batch_processing_data SELECT * FROM rows;
            DROP TABLE rows;
            CREATE INDEX batch_processing_data_by_time ON batch_processing_data (finished_at);
            UPDATE batchd_store SET schema_version = 1;
            """)
      }
      let query = "SELECT * FROM batch_processing_data ORDER BY admitted_at"
      let before = try sqliteRows(query, of: path)
      try await store.close()
      let again = try await SQLiteStore(path: path)
      #expect(try sqliteRows(query, of: path) == before)
      try await again.record([.sample(error: "the second life", admitted: 1)])
      #expect(try sqliteRows(query, of: path).count == 2)
      #expect(
        try sqliteRows("SELECT schema_version, error FROM batchd_store, batches", of: path)
          == ["2|the second life"])
      try await again.close()
    }
  }

  @Test func aReleaseThatOnlyAddsKeepsTheVersion() async throws {
    try await withFolder { folder in
      let path = folder + "/store.sqlite"
      let identity = try await SQLiteStore(path: path).identity()
      let version = "SELECT schema_version FROM batchd_store"
      let index = "SELECT name FROM sqlite_schema WHERE name = 'jobs_by_account_and_uuid'"
      // As 0.1.0 left it, and as it was for some days.
      for change in [
        "DROP INDEX jobs_by_account_and_uuid", "UPDATE batchd_store SET schema_version = 3",
      ] {
        let store = try await SQLiteStore(path: path)
        try await store.queue.write { try $0.execute(sql: change) }
        try await store.close()
        let again = try await SQLiteStore(path: path)
        #expect(try await again.identity() == identity)
        try await again.close()
        #expect(try sqliteRows(version, of: path) == ["2"])
        #expect(try sqliteRows(index, of: path) == ["jobs_by_account_and_uuid"])
      }
    }
  }

  @Test func aClosedStoreSaysSo() async throws {
    try await withFolder { folder in
      let store = try await SQLiteStore(path: folder + "/store.sqlite")
      try await store.close()
      let error = await #expect(throws: StoreError.self) { try await store.raise(epoch: 1) }
      #expect(error?.code == .unavailable)
      #expect(error?.message.contains("closed") == true)
    }
  }
}

private func setPermissions(_ permissions: Int, of path: String) throws {
  try FileManager.default.setAttributes([.posixPermissions: permissions], ofItemAtPath: path)
}
