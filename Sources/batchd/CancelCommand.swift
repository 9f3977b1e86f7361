internal import ArgumentParser
internal import Queue

/// `batchd cancel ID|operation:OP`
struct CancelCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "cancel",
    abstract: "Cancel a batch, or all of an operation's.",
    discussion: """
      Those that wait end at once, those that run at their next renewal or checkpoint, within \
      seconds. A cancelled batch can be retried.

        batchd cancel b1
        batchd cancel operation:nightly
      """)

  @Argument(help: ArgumentHelp("A batch, or operation:OP.", valueName: "id|operation:op"))
  var what: String

  @OptionGroup var common: CommonOptions

  func run() async throws {
    let words = try await common.connect().cancel(what)
    try common.answer("\(what): \(words)", ["what": what, "answer": words])
  }
}
