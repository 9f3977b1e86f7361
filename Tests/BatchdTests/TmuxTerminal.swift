import Foundation
import TestSupport
import Testing

/// A shell in a terminal of its own: tmux with a server of its own, which ends with the test.
final class TmuxTerminal: Sendable {
  private let redis: TestRedis
  private var socket: String { "\(redis.folder)/tmux.sock" }

  private init(_ redis: TestRedis) { self.redis = redis }

  /// Runs `body` beside a shell whose prompt is the exit status of the command before, such as `[0]> `.
  static func with(
    _ redis: TestRedis, columns: Int, rows: Int, _ body: (TmuxTerminal) async throws -> Void
  ) async throws {
    let terminal = TmuxTerminal(redis)
    // If this process dies, the shell ends, and with it the server.
    try await terminal.tmux(
      "new-session -d -x \(columns) -y \(rows) timeout 120 env TERM=screen PS1='[$?]> ' bash --norc --noprofile -i"
    )
    do {
      await eventually("the shell is there") { try await terminal.lines().last == "[0]>" }
      try await body(terminal)
    } catch {
      _ = try? await terminal.tmux("kill-server")
      throw error
    }
    try await terminal.tmux("kill-server")
  }

  @discardableResult
  func tmux(_ words: String) async throws -> String {
    try await redis.shell("tmux -S '\(socket)' -f /dev/null \(words)")
  }

  func type(_ command: String) async throws {
    try await tmux("send-keys -l '\(command)'")
    try await key("Enter")
  }

  func key(_ name: String) async throws { try await tmux("send-keys \(name)") }

  func resize(columns: Int, rows: Int) async throws {
    try await tmux("resize-window -x \(columns) -y \(rows)")
  }

  /// The screen without what is empty at its end.
  func lines() async throws -> [String] {
    let text = try await tmux("capture-pane -p")
    var lines = text.split(separator: "\n", omittingEmptySubsequences: false).map { line in
      String(line.reversed().drop { $0 == " " }.reversed())
    }
    while lines.last?.isEmpty == true { lines.removeLast() }
    return lines
  }

  /// What has scrolled away, and the screen.
  func history() async throws -> String { try await tmux("capture-pane -p -S -") }

  var isCursorVisible: Bool {
    get async throws { try await tmux("display-message -p '#{cursor_flag}'").hasPrefix("1") }
  }
}
