internal import ArgumentParser
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
    isLive = isatty(STDOUT_FILENO) == 1 && !["", "dumb"].contains(environment["TERM"] ?? "")
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

  /// Lines as they are shown here, each cut to its width.
  func text(_ lines: [StyledLine]) -> String {
    let width = size?.columns
    return lines.map { $0.text(width: width, hasColor: hasColor) }.joined(separator: "\n")
  }

  /// Whether it is ours to draw on: with `&` or bg it is the shell's.
  static var isForeground: Bool {
    let group = tcgetpgrp(STDOUT_FILENO)
    // -1: it controls nobody, as under docker without a shell.
    return group == -1 || group == getpgrp()
  }

  /// What is typed shows in the middle of a picture, and Enter moves it.
  /// - Returns: the settings to give back to `restore`; nil when nothing was changed.
  static func hideTyping() -> termios? {
    var settings = termios()
    guard isForeground, tcgetattr(STDOUT_FILENO, &settings) == 0 else { return nil }
    var quiet = settings
    quiet.c_lflag &= ~tcflag_t(ECHO)
    return tcsetattr(STDOUT_FILENO, TCSANOW, &quiet) == 0 ? settings : nil
  }

  /// - Parameter settings: what `hideTyping` gave.
  static func restore(_ settings: termios?) {
    guard var settings, isForeground else { return }
    tcsetattr(STDOUT_FILENO, TCSANOW, &settings)
  }

  /// Writes at once: what a watcher sees must not wait in a buffer.
  /// - Throws: `ExitCode` when nobody reads any more; `CancellationError` while nobody reads.
  static func write(_ text: String) async throws { try await write(Array(text.utf8)) }

  /// The same for bytes that may be anything.
  static func write(_ bytes: [UInt8]) async throws {
    var bytes = bytes[...]
    while !bytes.isEmpty {
      var output = pollfd(fd: STDOUT_FILENO, events: Int16(POLLOUT), revents: 0)
      if poll(&output, 1, 0) == 0 {
        try await Task.sleep(for: pause)
        continue
      }
      let count = bytes.prefix(atOnce).withUnsafeBytes {
        posixWrite(STDOUT_FILENO, $0.baseAddress, $0.count)
      }
      if count >= 0 {
        bytes = bytes.dropFirst(count)
      } else if errno == EAGAIN {
        try await Task.sleep(for: pause)
      } else if errno != EINTR {
        // As after the signal: head(1) has had enough, or the terminal is gone. Who has children must stop them first.
        throw ExitCode(128 + (errno == EPIPE ? SIGPIPE : SIGHUP))
      }
    }
  }

  /// PIPE_BUF: for so much a pipe that takes anything has room, so that a write never blocks and a signal can end it.
  private static let atOnce = 4_096
  private static let pause = Duration.milliseconds(20)

  /// Whether a person sees standard error, and lines can be drawn over there.
  static var isErrorLive: Bool {
    isatty(STDERR_FILENO) == 1 && ProcessInfo.processInfo.environment["TERM"] != "dumb"
  }

  static func writeError(_ text: String) {
    // That nobody hears it is no reason to end otherwise.
    try? FileHandle.standardError.write(contentsOf: Data(text.utf8))
  }

  /// Lines on standard error. They quote what others wrote: no control character comes through.
  static func complain(_ text: String) {
    let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
    let harmless = lines.map { StyledLine(String($0)).plainText }.joined(separator: "\n")
    writeError(harmless + "\n")
  }
}

/// write(2), for those who have a `write` of their own.
func posixWrite(_ file: Int32, _ bytes: UnsafeRawPointer?, _ count: Int) -> Int {
  write(file, bytes, count)
}
