/// The bounds on what one entry may hold and on how long things are kept. Each has a key in the configuration.
public struct Limits: Sendable, Hashable, Codable {
  /// Bytes of one envelope; a larger one is rejected inside Redis and never travels.
  public var envelopeBytes = 1 << 20
  /// Items of one batch.
  public var itemCount = 10_000
  /// Bytes of one item's id.
  public var itemIDBytes = 256
  /// Levels of arrays and objects in an envelope.
  public var jsonDepth = 32
  /// Seconds that `delay` and `at` may reach into the future.
  public var delaySeconds = 366 * 86_400
  /// Bytes of one output (of an item or of a stage).
  public var outputBytes = 1 << 20
  /// Bytes of all outputs of one batch.
  public var batchOutputBytes = 64 << 20
  /// Bytes of one error text; a longer one is cut.
  public var errorBytes = 1_024
  /// Entries of `batchd:rejected`; the oldest go first.
  public var rejectedCount = 1_000
  /// Bytes of all of `batchd:rejected`; of an entry over a quarter of it only the beginning is kept.
  public var rejectedBytes = 16 << 20
  /// Entries of `batchd:events`, approximately.
  public var eventCount = 10_000
  /// Seconds after its end that a batch stays in Redis.
  public var retentionSeconds = 86_400
  /// Seconds after its end that a failed batch stays in Redis.
  public var failedRetentionSeconds = 30 * 86_400

  public init() {}

  /// For envelopes that were admitted before: a limit lowered since then must not fail them.
  public static let none: Limits = {
    var limits = Limits()
    limits.envelopeBytes = .max
    limits.itemCount = .max
    limits.itemIDBytes = .max
    limits.delaySeconds = .max
    return limits
  }()
}
