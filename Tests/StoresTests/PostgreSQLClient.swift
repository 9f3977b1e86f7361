import CPostgres
import Pipeline
import TestSupport

/// A connection to a test server that is not the store's.
final class PostgreSQLClient {
  struct Failure: Error, CustomStringConvertible {
    let description: String
  }

  private let connection: OpaquePointer

  init(_ address: String) throws {
    connection = PQconnectdb(address)
    _ = try rows("SET timezone = 'UTC'; SET datestyle = 'ISO'")
  }

  deinit { PQfinish(connection) }

  /// The rows of a statement as SQLite would show them: columns joined by `|`, NULL as nothing, times as RFC 3339, JSON
  /// without spaces.
  @discardableResult
  func rows(_ text: String) throws -> [String] {
    let result = PQexec(connection, text)
    defer { PQclear(result) }
    guard [PGRES_COMMAND_OK, PGRES_TUPLES_OK].contains(PQresultStatus(result)) else {
      throw Failure(description: String(cString: PQerrorMessage(connection)))
    }
    return try (0..<PQntuples(result)).map { row in
      try (0..<PQnfields(result)).map { column in
        let text = String(cString: PQgetvalue(result, row, column))
        return text.isEmpty ? text : try Self.plain(text, ofType: PQftype(result, column))
      }.joined(separator: "|")
    }
  }

  private static func plain(_ text: String, ofType type: Oid) throws -> String {
    switch type {
    case 1184:
      guard let parts = text.wholeMatch(of: /(.+) ([0-9:]+)(\.[0-9]+)?\+00/) else {
        throw Failure(description: "\(text) is not a time in UTC")
      }
      let fraction = (parts.3 ?? ".") + "000"
      return "\(parts.1)T\(parts.2)\(fraction.prefix(4))Z"
    case 3802: return String(decoding: try JSON(parsing: text.utf8).bytes, as: UTF8.self)
    default: return text
    }
  }
}

/// The server of the suites that leave it as it is.
let sharedPostgreSQL = Task { try await TestPostgreSQL() }
