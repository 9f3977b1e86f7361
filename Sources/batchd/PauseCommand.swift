internal import ArgumentParser
internal import Queue

/// What can be paused, for both commands' help.
private let whatHelp = ArgumentHelp(
  "all, pipeline:P, stage:P:S or account:A.", valueName: "what")

/// `batchd pause WHAT`
struct PauseCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "pause",
    abstract: "Start nothing new; what runs goes on to the end of its stage.",
    discussion: """
      Waiting costs no attempt. `batchd status` shows what is paused.

        batchd pause all
        batchd pause account:acme
        batchd pause stage:workiz:extraction
      """)

  @Argument(help: whatHelp, completion: Names.pausable)
  var what: String

  @OptionGroup var common: CommonOptions

  func run() async throws {
    try await common.change(what) { try await $0.pause(what) }
  }
}

/// `batchd resume WHAT`
struct ResumeCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "resume",
    abstract: "End a pause.",
    discussion: """
        batchd resume account:acme
      """)

  @Argument(help: whatHelp, completion: Names.paused)
  var what: String

  @OptionGroup var common: CommonOptions

  func run() async throws {
    try await common.change(what) { try await $0.resume(what) }
  }
}

extension CommonOptions {
  /// An account is paused where its batches are, all else everywhere.
  fileprivate func change(_ what: String, _ act: (Control) async throws -> String) async throws {
    let configuration = try configuration()
    let mark = "account:"
    let account = what.hasPrefix(mark) ? String(what.dropFirst(mark.count)) : nil
    try await answer(configuration, for: names(configuration, account: account)) { control in
      let words = try await act(control)
      return ({ "\(what): \(words)" }, ["what": what, "answer": words])
    }
  }
}
