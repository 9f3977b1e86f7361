/// Why a simulator does not start.
public struct SimulatorError: Error, Sendable, CustomStringConvertible {
  public enum Code: String, Sendable {
    /// A setting is out of its range.
    case setting
    /// The arrival log cannot be written.
    case arrivals
    /// The address or port cannot be listened on.
    case listen
  }

  public let code: Code
  /// What is wrong and what to give instead.
  public let message: String

  init(_ code: Code, _ message: String) {
    self.code = code
    self.message = message
  }

  public var description: String { message }
}
