/// Bounds that are not in the configuration, because nobody would ever want another value.
enum RedisLimits {
  /// Arrays inside each other. hiredis 0.14 stops one level later, 1.x never.
  static let depth = 7
  /// Bytes of one command with all its arguments: Redis's own `proto-max-bulk-len`, and below the
  /// `int` in which hiredis 0.14 counts.
  static let commandBytes = 512 << 20
  /// Bytes that wait for a peer that does not read, before further calls are refused.
  static let unsentBytes = 64 << 20
}
