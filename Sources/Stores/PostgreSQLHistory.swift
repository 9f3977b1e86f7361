internal import Pipeline

/// The history of ended runs, as PostgreSQL is given it and asked for it.
enum PostgreSQLHistory {
  /// An ended run as the statement `record` takes it.
  static func row(_ ended: EndedBatch) -> JSON {
    let errors = ended.itemErrors.map { (JSON.text($0), JSON.string(JSON.text($1))) }
    let values: [JSON] = [
      .string(ended.batch), .integer(Int64(ended.run)), .string(ended.pipeline),
      .optional(ended.account), .string(ended.operation), .integer(Int64(ended.number)),
      .string(ended.status), .string(ended.stage.rawValue), .integer(Int64(ended.itemsTotal)),
      .integer(Int64(ended.itemsDone)), .integer(Int64(ended.itemsFailed)),
      .integer(Int64(ended.retryCount)), .optional(ended.error),
      .object(Dictionary(errors) { first, _ in first }), .string(ended.admittedAt.description),
      .optional(ended.startedAt?.description), .string(ended.finishedAt.description),
    ]
    return .object(Dictionary(uniqueKeysWithValues: zip(EndedRow.names, values)))
  }

  static func statement(_ query: HistoryQuery) -> PostgreSQLStatement {
    let columns = EndedRow.names.map { name in
      name.hasSuffix("_at")
        ? #"to_char(\#(name) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')"# : name
    }
    let conditions = query.conditions.enumerated().map { place, condition in
      let value = "$\(place + 1)::text"
      let isTime = condition.column.hasSuffix("_at")
      return "\(condition.column) \(condition.comparison) \(value)\(isTime ? "::timestamptz" : "")"
    }
    // In the order of bytes, as SQLite compares, whatever the database's language.
    return PostgreSQLStatement(
      name: nil,
      text: """
        SELECT \(columns.joined(separator: ", ")) FROM batch_processing_data
        \(conditions.isEmpty ? "" : "WHERE \(conditions.joined(separator: " AND "))")
        ORDER BY finished_at DESC, batch COLLATE "C" DESC, run DESC, admitted_at DESC
        LIMIT \(query.limit)
        """)
  }
}

extension JSON {
  /// PostgreSQL's texts have no NUL. An error is for people to read, and must not keep a run out of the history.
  fileprivate static func text(_ text: String) -> String {
    text.replacing("\0", with: "\u{FFFD}")
  }

  fileprivate static func optional(_ text: String?) -> JSON {
    text.map { .string(Self.text($0)) } ?? .null
  }
}
