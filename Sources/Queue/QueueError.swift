internal import Redis

/// What the queue's functions refuse.
public struct QueueError: Error, Sendable, CustomStringConvertible {
  public enum Code: String, Sendable {
    /// A process of the same name is alive elsewhere.
    case twin = "TWIN"
    /// The results store is not the one on record.
    case store = "STORE"
    /// What was named does not exist.
    case notFound = "NOTFOUND"
    /// The outputs of the batch would be larger than `Limits.batchOutputBytes`.
    case output = "OUTPUT"
    /// An argument is wrong.
    case badArgument = "BADARG"
    /// The call does not fit the state of the batch.
    case refused
    /// A reply that does not fit the protocol.
    case protocolViolation
  }

  public let code: Code
  /// What happened, to what, and what to do about it.
  public let message: String

  public init(_ code: Code, _ message: String) {
    self.code = code
    self.message = message
  }

  /// A refusal of a function: its first word is the code.
  init(_ error: RedisError) {
    code = Code(rawValue: error.serverCode) ?? .refused
    message = error.message
  }

  static func unreadable(_ function: String, _ value: RedisValue) -> QueueError {
    QueueError(
      .protocolViolation,
      "\(function) answered \(String(describing: value).prefix(200)): is another version's function library loaded? Use one release everywhere, and restart the workers"
    )
  }

  public var description: String { message }
}
