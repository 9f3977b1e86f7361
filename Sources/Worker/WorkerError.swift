/// Why a worker cannot start or go on.
public struct WorkerError: Error, Sendable, CustomStringConvertible {
  public enum Code: String, Sendable {
    /// A process of the same name is alive.
    case twin
    /// Redis or its settings cannot carry a queue.
    case unsuitableRedis
    /// Other workers of this prefix were given other prefixes beside it.
    case otherPrefixes
    /// The drain limit passed with work still running.
    case drainLimit
    /// The operating system refused something.
    case system
  }

  public let code: Code
  /// What happened, to what, and what to do about it.
  public let message: String

  public init(_ code: Code, _ message: String) {
    self.code = code
    self.message = message
  }

  public var description: String { message }
}
