internal import Foundation

#if canImport(Glibc)
  internal import Glibc
#elseif canImport(Musl)
  internal import Musl
#else
  internal import Darwin
#endif

/// Standard output as a person's terminal, or as a pipe.
struct Terminal {
  /// Whether lines can be drawn over.
  let isLive: Bool
  let hasColor: Bool

  init(environment: [String: String] = ProcessInfo.processInfo.environment) {
    isLive = isatty(STDOUT_FILENO) == 1 && environment["TERM"] != "dumb"
    // https://no-color.org: set and not empty.
    hasColor = isLive && (environment["NO_COLOR"] ?? "").isEmpty
  }

  /// Columns and rows now; nil for a pipe.
  var size: (columns: Int, rows: Int)? {
    var size = winsize()
    guard isLive, ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else {
      return nil
    }
    return (Int(size.ws_col), Int(size.ws_row))
  }

  /// Writes at once: what a watcher sees must not wait in a buffer.
  static func write(_ text: String) { write(Array(text.utf8)) }

  static func write(_ bytes: [UInt8]) { FileHandle.standardOutput.write(Data(bytes)) }

  /// Whether a person sees standard error, and lines can be drawn over there.
  static var isErrorLive: Bool {
    isatty(STDERR_FILENO) == 1 && ProcessInfo.processInfo.environment["TERM"] != "dumb"
  }

  static func writeError(_ text: String) { FileHandle.standardError.write(Data(text.utf8)) }

  /// Lines on standard error. They quote what others wrote: no control character comes through.
  static func complain(_ text: String) {
    let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
    let harmless = lines.map { StyledLine(String($0)).plainText }.joined(separator: "\n")
    writeError(harmless + "\n")
  }
}
