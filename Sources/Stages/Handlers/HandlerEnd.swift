/// How a call of a handler outside of this program came to its end.
public struct HandlerEnd: Sendable, Equatable {
  public enum Verdict: Sendable, Equatable {
    case done
    /// Another attempt may help, perhaps not before the time that the handler asked for.
    case retry(String, afterMilliseconds: Int? = nil)
    /// No attempt will help.
    case permanent(String)
  }

  public var verdict: Verdict
  /// The exit code, or the HTTP status; nil when a signal ended the command, it could not be started, or nothing
  /// answered.
  public var status: Int?
  /// The last KiB of a command's standard error.
  public var errorTail: String
  /// For how long the handler asks everybody to leave it alone (a 429, or a 503 with `Retry-After`).
  public var busyMilliseconds: Int?

  public init(
    verdict: Verdict, status: Int? = nil, errorTail: String = "", busyMilliseconds: Int? = nil
  ) {
    self.verdict = verdict
    self.status = status
    self.errorTail = errorTail
    self.busyMilliseconds = busyMilliseconds
  }
}
