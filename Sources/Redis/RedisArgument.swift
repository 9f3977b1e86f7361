/// One word of a command: its name or an argument. Every case is sent as a bulk string.
public enum RedisArgument: Sendable, Hashable {
  /// Sent as UTF-8.
  case text(String)
  /// Sent as it is; any byte may occur.
  case bytes([UInt8])
  /// Sent in decimal.
  case integer(Int)
}

extension RedisArgument: ExpressibleByStringLiteral {
  public init(stringLiteral value: String) { self = .text(value) }
}

extension RedisArgument: ExpressibleByIntegerLiteral {
  public init(integerLiteral value: Int) { self = .integer(value) }
}
