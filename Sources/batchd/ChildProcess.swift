internal import Foundation
internal import Subprocess
internal import Synchronization

/// A program that `up` runs beside itself, in a process group of its own: Ctrl-C reaches `up` alone, which then stops its
/// children in order. What it prints goes to a log file.
final class ChildProcess: Sendable {
  let name: String
  let log: String
  private let command: [String]
  private let environment: [String: String]
  private let pid = Mutex<pid_t?>(nil)

  /// - Parameter command: the program, searched in PATH unless it holds a slash, and its arguments.
  init(_ name: String, log: String, command: [String], environment: [String: String] = [:]) {
    self.name = name
    self.log = log
    self.command = command
    self.environment = environment
  }

  /// Runs it to its end; cancellation sends SIGTERM, and SIGKILL half a minute later.
  /// - Returns: whether it ended by itself, with an error: neither well nor by a signal.
  @discardableResult
  func run() async throws -> Bool {
    var options = PlatformOptions()
    options.processGroupID = 0
    options.teardownSequence = [.gracefulShutDown(allowedDurationToNextStep: .seconds(30))]
    var values: [Environment.Key: String] = ["BATCHD_UP_LOG": log]
    for (key, value) in environment { values[Environment.Key(stringLiteral: key)] = value }
    defer { pid.withLock { $0 = nil } }
    let result = try await Subprocess.run(
      // The shell opens the log and becomes the program: its pid stays.
      .name("sh"),
      arguments: Arguments(["-c", #"exec "$0" "$@" >>"$BATCHD_UP_LOG" 2>&1"#] + command),
      environment: .inherit.updating(values), platformOptions: options, input: .none,
      output: .discarded, error: .discarded
    ) { execution in
      pid.withLock { $0 = execution.processIdentifier.value }
    }
    if case .exited(let code) = result.terminationStatus { return code != 0 }
    return false
  }

  /// Runs it for as long as `body` does.
  /// - Throws: `UpError` with the end of its log when it ends first.
  func during<T: Sendable>(_ body: @escaping @Sendable () async throws -> T) async throws -> T {
    try await withThrowingTaskGroup(of: T?.self) { group in
      group.addTask {
        try await self.run()
        return nil
      }
      group.addTask { try await body() }
      guard let result = try await group.next(), let result else { throw UpError.ended(self) }
      group.cancelAll()
      return result
    }
  }

  /// Sends a signal; nothing when it does not run.
  func send(_ signal: Int32) { pid.withLock { pid in if let pid { _ = kill(pid, signal) } } }

  /// The last lines of its log.
  var logTail: String {
    let text = (try? String(contentsOfFile: log, encoding: .utf8)) ?? ""
    return text.split(separator: "\n").suffix(5).joined(separator: "\n")
  }
}

/// Why `up` cannot start or go on.
struct UpError: Error, CustomStringConvertible {
  let description: String

  static func ended(_ child: ChildProcess) -> UpError {
    UpError(description: "\(child.name) ended; its log \(child.log) closes with:\n\(child.logTail)")
  }
}
