/// A value of a statement, sent in PostgreSQL's binary format: as text it would end at its first NUL without a word,
/// and arrays would have to be quoted.
enum PostgreSQLParameter: Sendable {
  case text(String?)
  /// For `bigint`.
  case integer(Int?)
  /// For `text[]`; each element is UTF-8.
  case texts([[UInt8]])

  /// What is sent; nil is NULL.
  var bytes: [UInt8]? {
    switch self {
    case .text(let value): value.map { Array($0.utf8) }
    case .integer(let value): value.map { Self.bigEndian(Int64($0)) }
    case .texts(let values): Self.array(values)
    }
  }

  /// The type's number in every PostgreSQL server.
  private static let textType: Int32 = 25

  private static func array(_ values: [[UInt8]]) -> [UInt8] {
    // Dimensions, no NULLs within, type; then length and first index of the one dimension.
    var bytes = [Int32(1), 0, textType, Int32(values.count), 1].flatMap(bigEndian)
    bytes.reserveCapacity(values.reduce(bytes.count) { $0 + $1.count + 4 })
    for value in values {
      bytes += bigEndian(Int32(value.count))
      bytes += value
    }
    return bytes
  }

  private static func bigEndian(_ number: some FixedWidthInteger) -> [UInt8] {
    withUnsafeBytes(of: number.bigEndian) { Array($0) }
  }
}
