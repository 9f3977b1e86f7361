internal import ArgumentParser
internal import Queue

/// `batchd cancel BATCH…|operation:OP|FILTER`
struct CancelCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "cancel",
    abstract: "Cancel batches: by name, an operation's, or those that a filter fits.",
    discussion: """
      Those that wait end at once, those that run at their next renewal or checkpoint, within \
      seconds. A cancelled batch can be retried. Batches that are named, or all of one operation, \
      are cancelled at once; a filter only counts them until --yes is given.

        batchd cancel b1
        batchd cancel operation:nightly
        batchd cancel account:acme --status pending
        batchd cancel --pipeline thumbs --before 2026-11-22T18:00:00Z --yes

      Exit codes: 0 done or counted, 1 some were refused, 65 all were, or nothing fits, 69 Redis is \
      away.
      """)

  private static let statuses = ["pending", "processing", "retrying"]

  @Argument(
    help: ArgumentHelp(
      "Batches; or operation:OP, account:A, pipeline:P.", valueName: "what"),
    completion: Names.cancelled)
  var what: [String] = []

  @Option(
    help: ArgumentHelp(
      "Only batches that are so; may be repeated: \(statuses.joined(separator: ", ")).",
      valueName: "status"), completion: .list(statuses))
  var status: [String] = []

  @OptionGroup(title: "Filter") var selection: SelectionOptions

  @OptionGroup var common: CommonOptions

  func validate() throws {
    try RetryCommand.check(status, Self.statuses)
    _ = try selection.choice(of: what, statuses: status)
  }

  func run() async throws {
    let choice = try selection.choice(of: what, statuses: status)
    let reached = try await common.connect(
      common.configuration(), account: choice.account)
    if case .operation(let operation) = choice, !selection.dryRun {
      return try await cancel(operation, reached)
    }
    let step = StepIn(
      "cancel", statuses: Self.statuses, choice, selection, json: common.json
    ) { try await $0.cancel($1) }
    try await step.run(reached)
  }

  /// One call for each prefix, in which nothing can slip by; of more than a thousand batches the workers cancel the rest.
  private func cancel(_ operation: String, _ reached: CommonOptions.Reached) async throws {
    var report = StepReport("cancel", isDryRun: false)
    var words: [String] = []
    var unknown: QueueError?
    for control in reached.controls {
      do {
        words.append(try await control.cancel("operation:\(operation)"))
        report.noteOperation(words[words.count - 1])
      } catch let error as QueueError where error.code == .notFound {
        unknown = error
      }
    }
    if words.isEmpty, let unknown { throw reached.failure ?? unknown }
    try common.answer("operation:\(operation): \(words.joined(separator: "; "))", report)
    if let failure = reached.failure { throw ExitCode(failure.code.rawValue) }
  }
}
