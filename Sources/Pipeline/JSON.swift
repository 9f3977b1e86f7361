import FoundationEssentials

/// A JSON value of any shape: payloads, items, outputs, documents of services with unstable types.
///
/// Whole numbers that fit 64 bits are integers; every other number becomes a `Double`.
public enum JSON: Sendable, Hashable, Encodable {
  case null
  case bool(Bool)
  case integer(Int64)
  case number(Double)
  case string(String)
  case array([JSON])
  case object([String: JSON])

  /// Parses one JSON text. Of a key that stands twice in an object the first counts; a number that is a whole one of
  /// 64 bits is an integer, however it is written.
  /// - Throws: `DecodingError` when `bytes` is not JSON in UTF-8, or nested deeper than 512 levels.
  public init(parsing bytes: some Sequence<UInt8>) throws {
    do {
      self = try JSONParser.parse(Array(bytes))
    } catch {
      throw DecodingError.dataCorrupted(
        .init(codingPath: [], debugDescription: "not JSON in UTF-8"))
    }
  }

  public func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    switch self {
    case .null: try container.encodeNil()
    case .bool(let value): try container.encode(value)
    case .integer(let value): try container.encode(value)
    case .number(let value): try container.encode(value)
    case .string(let value): try container.encode(value)
    case .array(let value): try container.encode(value)
    case .object(let value): try container.encode(value)
    }
  }

  /// The value as JSON text, keys sorted, so that equal values have equal bytes. A non-finite number,
  /// which JSON cannot hold, becomes `null`.
  public var bytes: [UInt8] {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    return [UInt8]((try? encoder.encode(self)) ?? Data("null".utf8))
  }

  /// The value of `key` when this is an object that has it.
  public subscript(key: String) -> JSON? {
    if case .object(let members) = self { members[key] } else { nil }
  }

  /// The text of a string; nil for every other type.
  public var string: String? { if case .string(let value) = self { value } else { nil } }

  /// The elements of an array; nil for every other type.
  public var array: [JSON]? { if case .array(let value) = self { value } else { nil } }

  /// The members of an object; nil for every other type.
  public var object: [String: JSON]? { if case .object(let value) = self { value } else { nil } }

  /// The type's name as an error message uses it.
  public var typeName: String {
    switch self {
    case .null: "null"
    case .bool: "a boolean"
    case .integer: "an integer"
    case .number: "a number"
    case .string: "a string"
    case .array: "an array"
    case .object: "an object"
    }
  }
}
