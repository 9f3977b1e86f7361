import Pipeline
import TestSupport

@testable import Stores

/// A connection to a test server that is not the store's.
final class PostgreSQLClient {
  private let link: PostgreSQLLink

  init(_ address: String) throws {
    link = try PostgreSQLLink([("dbname", address)])
    try rows("SET timezone = 'UTC'; SET datestyle = 'ISO'")
  }

  /// The rows of a statement as SQLite would show them: columns joined by `|`, NULL as nothing, times as RFC 3339, JSON
  /// objects without spaces.
  @discardableResult
  func rows(_ text: String) throws -> [String] {
    try link.run(text, by: .now + .seconds(120)).map { row in
      try row.map { try Self.plain($0 ?? "") }.joined(separator: "|")
    }
  }

  private static func plain(_ text: String) throws -> String {
    if let parts = text.wholeMatch(of: /([0-9-]+) ([0-9:]+)(\.[0-9]+)?\+00/) {
      let fraction = (parts.3 ?? ".") + "000"
      return "\(parts.1)T\(parts.2)\(fraction.prefix(4))Z"
    }
    guard text.hasPrefix("{") else { return text }
    return String(decoding: try JSON(parsing: text.utf8).bytes, as: UTF8.self)
  }
}

/// The server of the suites that leave it as it is.
let sharedPostgreSQL = Task { try await TestPostgreSQL() }
