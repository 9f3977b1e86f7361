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
    let words = try await common.connect().pause(what)
    try common.answer("\(what): \(words)", ["what": what, "answer": words])
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
    let words = try await common.connect().resume(what)
    try common.answer("\(what): \(words)", ["what": what, "answer": words])
  }
}
