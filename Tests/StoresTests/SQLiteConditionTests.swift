import Foundation
import GRDB
import Testing

@testable import Stores

/// A look at a store's file, which writes nothing.
@Suite struct SQLiteConditionTests {
  private let folder: String

  init() throws {
    folder =
      FileManager.default.temporaryDirectory.appending(path: "look-\(UUID().uuidString)").path
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
  }

  private func names() throws -> [String] {
    try FileManager.default.contentsOfDirectory(atPath: folder).sorted()
  }

  @Test func whatIsNoStoreYetStaysNone() async throws {
    defer { try? FileManager.default.removeItem(atPath: folder) }
    #expect(try await SQLiteCondition.look(at: "\(folder)/none") == nil)
    try Data().write(to: URL(filePath: "\(folder)/empty"))
    #expect(try await SQLiteCondition.look(at: "\(folder)/empty") == nil)
    #expect(try names() == ["empty"])
    try Data("no database, but long enough to be one".utf8).write(to: URL(filePath: "\(folder)/x"))
    await #expect(throws: StoreError.self) { try await SQLiteCondition.look(at: "\(folder)/x") }
  }

  @Test func aStoreIsReadWhileItIsUsedAndWhenItIsNot() async throws {
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let path = "\(folder)/s.sqlite"
    let store = try await SQLiteStore(path: path)
    let identity = try await store.identity()
    try FileManager.default.createSymbolicLink(
      atPath: "\(folder)/link", withDestinationPath: path)
    for place in [path, "\(folder)/link"] {
      let used = try await SQLiteCondition.look(at: place)
      #expect(used?.identity == identity && used?.schemaVersion == 2 && used?.isChecked == true)
    }
    try await store.close()
    let before = try names()
    #expect(before == ["link", "s.sqlite"])
    let still = try await SQLiteCondition.look(at: path)
    #expect(still?.identity == identity && still?.damage == nil)
    #expect(try names() == before)
  }

  @Test func damageIsFoundAndALargeFileIsNotReadForEver() async throws {
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let path = "\(folder)/s.sqlite"
    let store = try await SQLiteStore(path: path)
    try await store.close()
    let queue = try DatabaseQueue(path: path)
    try await queue.write { db in
      try db.execute(
        sql: """
          CREATE TABLE filler (x INTEGER);
          WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000000)
          INSERT INTO filler SELECT i FROM n;
          """)
    }
    try queue.close()
    let hurried = try await SQLiteCondition.look(at: path, checkMilliseconds: 0)
    #expect(hurried?.isChecked == false && hurried?.damage == nil)

    let file = try FileHandle(forUpdating: URL(filePath: path))
    try file.seek(toOffset: 4096 * 500)
    try file.write(contentsOf: Data(repeating: 0xAA, count: 4096))
    try file.close()
    let damaged = try await SQLiteCondition.look(at: path, checkMilliseconds: 60_000)
    #expect(damaged?.isChecked == true && damaged?.damage != nil)
  }
}
