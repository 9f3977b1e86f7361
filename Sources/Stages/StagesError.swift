/// Why handlers cannot be made.
public struct StagesError: Error, Sendable, CustomStringConvertible {
  public enum Code: String, Sendable {
    /// A setting is out of its range or not of its form.
    case configuration
  }

  public let code: Code
  /// Which setting is wrong and what to give instead.
  public let message: String

  init(_ code: Code, _ message: String) {
    self.code = code
    self.message = message
  }

  public var description: String { message }
}
