internal import ArgumentParser
internal import Pipeline
internal import Queue

/// `batchd retry BATCH…|operation:OP|FILTER`
struct RetryCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "retry",
    abstract: "Run ended batches again: their unfinished or failed items.",
    discussion: """
      What was done stays done. A batch that completed has nothing to retry; to do all of it again, \
      enqueue it with --rerun. Batches that are named, or all of one operation, are retried at \
      once; a filter only counts them until --yes is given. Those of one command run again in the \
      order in which they were admitted, each once.

        batchd retry b1
        batchd retry b1 b2 --from extraction
        batchd retry operation:nightly
        batchd retry --status failed --error "429 Too Many" --since 2026-11-22
        batchd retry account:acme --stage extraction --yes

      Exit codes: 0 done or counted, 1 some were refused, 65 all were, or nothing fits, 69 Redis is \
      away.
      """)

  static let statuses = ["failed", "completed_with_errors", "cancelled"]

  @Argument(
    help: ArgumentHelp(
      "Batches; or operation:OP, account:A, pipeline:P.", valueName: "what"),
    completion: Names.retried)
  var what: [String] = []

  @Option(
    help: ArgumentHelp(
      """
      Start from this stage; it cannot be a later one than that which failed. Without: from the \
      one that failed.
      """, valueName: "stage"), completion: .list(Stage.allCases.map(\.rawValue)),
    transform: SelectionOptions.named)
  var from: Stage?

  @Option(
    help: ArgumentHelp(
      "Only batches that ended so; may be repeated: \(statuses.joined(separator: ", ")).",
      valueName: "status"), completion: .list(statuses))
  var status: [String] = []

  @OptionGroup(title: "Filter") var selection: SelectionOptions

  @OptionGroup var common: CommonOptions

  func validate() throws {
    try Self.check(status, Self.statuses)
    if what.contains(where: { !$0.contains(":") }), selection.stage != nil {
      throw ValidationError("--stage chooses batches; to start from a stage: --from")
    }
    _ = try selection.choice(of: what, statuses: status)
  }

  /// - Throws: `ValidationError` for one that is none of `known`.
  static func check(_ statuses: [String], _ known: [String]) throws {
    guard let other = statuses.first(where: { !known.contains($0) }) else { return }
    throw ValidationError("“\(other)” is none of \(known.joined(separator: ", "))")
  }

  func run() async throws {
    let from = from?.rawValue
    let choice = try selection.choice(of: what, statuses: status)
    let step = StepIn(
      "retry", statuses: Self.statuses, choice, selection, json: common.json
    ) { try await $0.retry($1, from: from) }
    try await step.run(try await common.connect(common.configuration(), account: choice.account))
  }
}
