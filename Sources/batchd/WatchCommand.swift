internal import ArgumentParser
internal import Queue
internal import Stages

/// `batchd watch [OPERATION…]`
struct WatchCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "watch",
    abstract: "Watch operations to their end.",
    discussion: """
      On a terminal a bar for each operation, its accounts and its stages: rates, when it will be \
      done, who waits for what; errors as they happen. A small window shows what matters most. In \
      a pipe a line for each change; with --json one JSON object a line. A restart of Redis is \
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
    let configuration = try common.configuration()
    let names = common.names(configuration)
    try await Self.watch(common: common, configuration) { [operations] in
      names.map { ($0, operations) }
    }
  }

  /// Watches until all have ended.
  /// - Parameters:
  ///   - waitsForNames: whether all names will be known under their prefix.
  ///   - operations: for each prefix that is to be watched. Waits, where need be, until there is something to watch; in the
  ///     same breath as the watch: whoever asks for signals a second time in a process is given none.
  ///   - since: the state change after which errors are told, by prefix; now where there is none.
  /// - Throws: `ExitCode` 1 when one ended otherwise than completed.
  static func watch(
    since: [String: String] = [:], common: CommonOptions, _ configuration: Configuration,
    waitsForNames: Bool = false,
    _ operations: @escaping @Sendable () async throws -> [(prefix: String, names: [String])]
  ) async throws {
    let isCompleted = try await Interrupt.orFinished {
      let parts = try await operations()
      var watchers = parts.map { prefix, names in
        Watcher(
          names, of: parts.count > 1 ? prefix : nil, waitsForNames: waitsForNames,
          since: since[prefix], gates: configuration.gates
        ) { try await common.connect(configuration, to: prefix) }
      }
      return try await show(&watchers, common.json ? .json : Terminal().isLive ? .live : .plain)
    }
    guard isCompleted else { throw ExitCode(1) }
  }

  /// The last state change under each prefix.
  static func now(_ controls: [Control]) async throws -> [String: String] {
    var now: [String: String] = [:]
    for control in controls { now[control.keys.prefix] = try await control.lastChange() }
    return now
  }

  /// Shows what the watchers see, one for each prefix, to the end.
  /// - Parameter notes: what else is to be said above the bars.
  /// - Returns: whether all completed.
  static func show(
    _ watchers: inout [Watcher], _ form: WatchView.Form, notes: () -> [StyledLine] = { [] }
  ) async throws -> Bool {
    var view = WatchView(form)
    let jobControl = form == .live ? JobControl() : nil
    var typing = form == .live ? Terminal.hideTyping() : nil
    defer { Terminal.restore(typing) }
    do {
      while true {
        let update = try await Watcher.next(&watchers)
        if jobControl?.isStopping == true {
          try await Terminal.write(view.leave())
          Terminal.restore(typing)
          jobControl?.stop()
        }
        if jobControl?.hasContinued == true {
          typing = Terminal.hideTyping() ?? typing
          view.forget()
        }
        if form == .live, Terminal.isForeground != (view.form == .live) {
          view.form = view.form == .live ? .plain : .live
          if view.form == .plain { try await Terminal.write(view.leave()) }
        }
        let terminal = Terminal()
        try await Terminal.write(
          try view.text(
            update, at: .now, size: terminal.size, hasColor: terminal.hasColor, notes: notes()))
        if update.isFinished {
          try await Terminal.write(view.end())
          return update.isCompleted
        }
        try await Task.sleep(for: .milliseconds(250))
      }
    } catch {
      try? await Terminal.write(view.end())
      throw error
    }
  }
}

extension Configuration {
  /// The gates that an account's batches of a pipeline ask, as far as this configuration knows the pipeline.
  func gates(pipeline: String, account: String) -> [String] {
    let stages = pipelines[pipeline].map { Array($0.stages.values) } ?? []
    return Set(stages.flatMap { gates(of: $0, account: account) }).sorted()
  }
}
