import Glibc
import Pipeline

extension HandlerEnd {
  private static let signals: [Int32: String] = [
    SIGABRT: "SIGABRT", SIGBUS: "SIGBUS", SIGFPE: "SIGFPE", SIGHUP: "SIGHUP", SIGILL: "SIGILL",
    SIGINT: "SIGINT", SIGPIPE: "SIGPIPE", SIGSEGV: "SIGSEGV", SIGTERM: "SIGTERM",
    SIGXCPU: "SIGXCPU",
    SIGKILL: "SIGKILL (if nobody did that, the kernel was out of memory: journalctl -k)",
  ]

  /// Reads the end of a command.
  /// - Parameters:
  ///   - ended: what waitpid(2) says of it.
  ///   - failure: what is wrong with its standard output. It may have been stopped for that, so it comes first; a
  ///     program that is broken now may be mended before the next attempt.
  ///   - errorBytes: bytes of an error that are kept; the message ends with as much of the tail as they take.
  init(status ended: Int32, failure: String?, errorTail: String, name: String, errorBytes: Int) {
    let signal = ended & 0x7f
    let code = (ended >> 8) & 0xff
    func text(_ what: String) -> String {
      let text = "\(name) \(what)"
      let room = errorBytes - text.utf8.count - 2
      guard !errorTail.isEmpty, room > 0 else { return text }
      return "\(text): \(String(decoding: errorTail.utf8.suffix(room), as: UTF8.self))"
    }
    status = signal == 0 ? Int(code) : nil
    self.errorTail = errorTail
    if let failure {
      verdict = .retry(
        "\(name): \(failure) (write one JSON object a line to standard output, and all else to "
          + "standard error)")
    } else if signal != 0 {
      verdict = .retry(text("was ended by \(Self.signals[signal] ?? "signal \(signal)")"))
    } else {
      switch code {
      case 0: verdict = .done
      case 65: verdict = .permanent(text("failed for good (exit code 65)"))
      case 75: verdict = .retry(text("asks for another try (exit code 75)"))
      case 126: verdict = .retry(text("exited with 126 (a command of it is not executable)"))
      case 127: verdict = .retry(text("exited with 127 (a command of it was not found)"))
      default: verdict = .retry(text("exited with \(code)"))
      }
    }
  }
}
