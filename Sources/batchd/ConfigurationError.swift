/// Why a configuration cannot be used. Repeats no value that could be a secret.
struct ConfigurationError: Error, Sendable, Equatable, CustomStringConvertible {
  enum Code: String, Sendable {
    /// The file is not there or may not be read.
    case unreadable
    /// The file is there and wrong: every problem stands in the message.
    case invalid
    /// A token or password is not where the configuration says.
    case secret
  }

  let code: Code
  /// One problem a line, `FILE:LINE: KEY: what is wrong and what is allowed`.
  let message: String

  init(_ code: Code, _ message: String) {
    self.code = code
    self.message = message
  }

  var description: String { message }
}
