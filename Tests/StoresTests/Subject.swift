import Foundation
import GRDB
import Stores
import TestSupport

/// The implementations that must keep the contract.
enum StoreKind: CaseIterable, Sendable {
  case sqlite, postgreSQL
}

/// One implementation on an empty database of its own.
struct Subject: Sendable {
  /// Opens the database as a further worker does.
  let open: @Sendable () async throws -> any ResultsStore
  /// Runs a query on a connection that is not the store's; each row's columns joined by `|`.
  let rows: @Sendable (String) async throws -> [String]

  /// Makes an empty database of `kind`, gives it to `body` and removes it.
  static func with(_ kind: StoreKind, _ body: (Subject) async throws -> Void) async throws {
    switch kind {
    case .sqlite:
      try await withFolder { folder in
        let path = folder + "/store.sqlite"
        try await body(
          Subject(
            open: { try await SQLiteStore(path: path) }, rows: { try sqliteRows($0, of: path) }))
      }
    case .postgreSQL:
      let address = try await sharedPostgreSQL.value.database()
      try await body(
        Subject(
          open: { try await PostgreSQLStore(address) },
          rows: { try PostgreSQLClient(address).rows($0) }))
    }
  }
}

/// Gives `body` an empty folder and removes it afterwards.
func withFolder(_ body: (String) async throws -> Void) async throws {
  let folder = NSTemporaryDirectory() + "batchd-stores-" + UUID().uuidString
  try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
  defer { try? FileManager.default.removeItem(atPath: folder) }
  try await body(folder)
}

/// The rows of `query` over an SQLite file, each with its columns joined by `|`, NULL as nothing.
func sqliteRows(_ query: String, of path: String) throws -> [String] {
  try DatabaseQueue(path: path).inDatabase { db in
    try Row.fetchAll(db, sql: query).map { row in
      row.databaseValues.map { String.fromDatabaseValue($0) ?? "\($0.storage.value ?? "")" }
        .joined(separator: "|")
    }
  }
}
