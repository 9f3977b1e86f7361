internal import ArgumentParser
internal import Queue

/// `batchd watch [OPERATION…]`
struct WatchCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "watch",
    abstract: "Watch operations to their end.",
    discussion: """
      On a terminal a bar for each operation and for each batch under way; errors as they happen. \
      In a pipe a line for each change; with --json one JSON object a line. A restart of Redis is \
      waited out. Without names: all that are unfinished. The name of a batch means its operation.

        batchd watch
        batchd watch b1 nightly
        batchd watch nightly --json | jq .percent

      Exit codes: 0 all completed, 1 some did not, 65 nothing of that name, 69 Redis is away.
      """)

  @Argument(help: "Operations, or batches.", completion: Names.watched)
  var operations: [String] = []

  @OptionGroup var common: CommonOptions

  func run() async throws {
    try await Self.watch(operations, common: common, try common.configuration())
  }

  /// Watches until all have ended.
  /// - Parameter since: the state change after which errors are told; nil is now.
  /// - Throws: `ExitCode` 1 when one ended otherwise than completed.
  static func watch(
    _ operations: [String], since: String? = nil, common: CommonOptions,
    _ configuration: Configuration
  ) async throws {
    let isCompleted = try await Interrupt.orFinished {
      var watcher = Watcher(operations, since: since) { try await common.connect(configuration) }
      var view = WatchView(common.json ? .json : Terminal().isLive ? .live : .plain)
      defer { Terminal.write(view.end()) }
      while true {
        let update = try await watcher.next()
        let terminal = Terminal()
        Terminal.write(
          try view.text(
            update, at: .now, size: terminal.size, hasColor: terminal.hasColor))
        if update.isFinished { return update.isCompleted }
        try await Task.sleep(for: .milliseconds(250))
      }
    }
    guard isCompleted else { throw ExitCode(1) }
  }
}
