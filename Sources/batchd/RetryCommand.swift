internal import ArgumentParser
internal import Pipeline
internal import Queue

/// `batchd retry ID`
struct RetryCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "retry",
    abstract: "Run an ended batch again: its unfinished or failed items.",
    discussion: """
      What was done stays done. A batch that completed has nothing to retry; to do all of it again, \
      enqueue it with --rerun.

        batchd retry b1
        batchd retry b1 --stage extraction
      """)

  @Argument(help: "The batch.")
  var id: String

  @Option(
    help: ArgumentHelp(
      "Start from this stage or earlier than it failed: \(stages).", valueName: "stage"),
    completion: .list(Stage.allCases.map(\.rawValue)))
  var stage: String?

  @OptionGroup var common: CommonOptions

  private static let stages = Stage.allCases.map(\.rawValue).joined(separator: ", ")

  func validate() throws {
    guard let stage, Stage(rawValue: stage) == nil else { return }
    throw ValidationError("“\(stage)” is not a stage: \(Self.stages)")
  }

  func run() async throws {
    let words = try await common.connect().retry(id, from: stage)
    try common.answer("\(id): \(words)", ["id": id, "answer": words])
  }
}
