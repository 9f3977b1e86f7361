import FoundationEssentials

/// A JSON value of any shape: payloads, items, outputs, documents of services with unstable types.
///
/// Integers that fit 64 bits stay integers; every other number becomes a `Double`.
public enum JSON: Sendable, Hashable, Codable {
  case null
  case bool(Bool)
  case integer(Int64)
  case number(Double)
  case string(String)
  case array([JSON])
  case object([String: JSON])

  /// Parses one JSON text.
  /// - Throws: `DecodingError` when `bytes` is not JSON in UTF-8.
  public init(parsing bytes: some Sequence<UInt8>) throws {
    // Foundation would take UTF-16 and UTF-32 too. Neither is without NUL, JSON in UTF-8 always is.
    guard !bytes.contains(0) else {
      throw DecodingError.dataCorrupted(.init(codingPath: [], debugDescription: "not UTF-8"))
    }
    self = try JSONDecoder().decode(JSON.self, from: Data(bytes))
  }

  public init(from decoder: any Decoder) throws {
    let container = try decoder.singleValueContainer()
    if container.decodeNil() {
      self = .null
    } else if let value = try? container.decode(String.self) {
      self = .string(value)
    } else if let value = try? container.decode(Int64.self) {
      self = .integer(value)
    } else if let value = try? container.decode(Double.self) {
      self = .number(value)
    } else if let value = try? container.decode(Bool.self) {
      self = .bool(value)
    } else if let value = try? container.decode([String: JSON].self) {
      self = .object(value)
    } else {
      self = .array(try container.decode([JSON].self))
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
