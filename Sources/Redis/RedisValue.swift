/// A reply of Redis, as RESP2 carries it.
public enum RedisValue: Sendable, Hashable {
  /// `$-1` or `*-1`: both say "nothing", and commands differ in which of them they send.
  case null
  /// `:1`
  case integer(Int)
  /// `$3`: any bytes.
  case bytes([UInt8])
  /// `+OK`
  case status(String)
  /// `*2`: at most `RedisLimits.depth` of them inside each other.
  case array([RedisValue])
  /// `-ERR …` inside an array or from `callAll`; `call` throws a top-level one.
  case error(RedisError)

  /// The integer of an integer reply, or of a bulk string that holds one in decimal.
  public var integer: Int? {
    switch self {
    case .integer(let value): value
    case .bytes(let bytes): Int(String(decoding: bytes, as: UTF8.self))
    default: nil
    }
  }

  /// Bytes as UTF-8 (a wrong sequence becomes U+FFFD), a status, or an integer in decimal.
  public var text: String? {
    switch self {
    case .bytes(let bytes): String(decoding: bytes, as: UTF8.self)
    case .status(let text): text
    case .integer(let value): String(value)
    default: nil
    }
  }

  /// The bytes of a bulk string, or the UTF-8 of a status.
  public var bytes: [UInt8]? {
    switch self {
    case .bytes(let bytes): bytes
    case .status(let text): Array(text.utf8)
    default: nil
    }
  }

  /// The elements of an array.
  public var array: [RedisValue]? {
    if case .array(let elements) = self { elements } else { nil }
  }

  /// Whether the reply is one of the two nulls.
  public var isNull: Bool {
    if case .null = self { true } else { false }
  }
}
