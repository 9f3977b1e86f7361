/// Why a call has no reply. No message ever holds a password.
public struct RedisError: Error, Sendable, Hashable, CustomStringConvertible {
  /// What a program can decide on.
  public enum Code: String, Sendable, Hashable {
    /// Redis answered with an error; `serverCode` tells which.
    case server
    /// There is no connection: the command was certainly not sent.
    case notConnected
    /// The connection ended before the reply: the command may have been executed.
    case connectionLost
    /// The reply did not come in time: the command may have been executed.
    case deadlineExceeded
    /// What came is not RESP2, or is deeper than allowed. The connection was closed.
    case protocolViolation
    /// A reply outgrew `replyBytes`. The connection was closed.
    case replyTooLarge
    /// `waitingCalls` calls wait already: the command was certainly not sent.
    case tooManyCalls
    /// The client or connection was closed by its owner: the command was certainly not sent.
    case closed
    /// The configuration cannot work; trying again does not help.
    case configuration
    /// The command is empty or larger than Redis accepts: it was not sent.
    case invalidCommand
  }

  public var code: Code
  /// For a person: what happened, and what to do where that is known. For `server`, it begins with
  /// the words of Redis.
  public var message: String

  public init(code: Code, message: String) {
    self.code = code
    self.message = message
  }

  /// The first word of a server error, such as `READONLY`, `NOPERM` or `ERR`; else empty.
  public var serverCode: String {
    guard code == .server else { return "" }
    return String(message.prefix { $0 != " " })
  }

  public var description: String {
    code == .server ? message : "\(code.rawValue): \(message)"
  }
}
