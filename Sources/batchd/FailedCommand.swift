internal import ArgumentParser
internal import Pipeline
internal import Queue

/// `batchd failed`
struct FailedCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "failed",
    abstract: "List the batches that failed, newest first, with their errors.",
    discussion: """
      Those that Redis still keeps, and that were not retried since; batchd history --status failed \
      knows older ones.

        batchd failed
        batchd failed --account acme --limit 100
        batchd failed --operation nightly --json | jq -r '.[].id'
      """)

  @Option(help: "Only of this account.", completion: Names.accounts)
  var account: String?

  @Option(help: "Only of this pipeline.", completion: Names.pipelines)
  var pipeline: String?

  @Option(help: "Only of this operation.", completion: Names.operations)
  var operation: String?

  @Option(help: "At most so many, the newest.")
  var limit = 20

  @OptionGroup var common: CommonOptions

  func validate() throws {
    guard (1...10_000).contains(limit) else { throw ValidationError("--limit must be 1 to 10000") }
  }

  func run() async throws {
    let configuration = try common.configuration()
    let again = try common.repeated(configuration)
    try await common.answer(configuration, for: common.names(configuration, account: account)) {
      try await found($0, again: again)
    }
  }

  private func found(_ control: Control, again: String) async throws -> CommonOptions.Found {
    let now = try await control.time()
    var filter = BatchFilter()
    (filter.account, filter.pipeline, filter.operation) = (account, pipeline, operation)
    // One more tells whether there are more.
    let found = try await control.failed(filter, limit: limit + 1)
    let shown = Array(found.prefix(limit))
    let terminal = Terminal()
    var lines = Self.lines(shown, now: now, width: terminal.size?.columns)
    if let first = shown.first {
      if found.count > limit { lines.append("there are more: --limit") }
      lines.append("batchd explain \(first.id)\(again)  tells more of one")
      lines.append("batchd retry \(first.id)\(again)  runs it again")
    }
    return (
      {
        lines.map { $0.text(width: nil, hasColor: terminal.hasColor) }.joined(separator: "\n")
      }, shown.map(Row.init)
    )
  }

  /// A line for each batch, then each advice that one of their errors deserves.
  /// - Parameter width: of the terminal, to which the errors are cut; the advice is wrapped.
  static func lines(_ batches: [BatchState], now: Int, width: Int?) -> [StyledLine] {
    guard !batches.isEmpty else { return ["nothing has failed that fits"] }
    let columns: [TextTable.Column] = [
      .left("BATCH"), .right("WHEN"), .left("PIPELINE"), .left("ACCOUNT"), .left("STAGE"),
      .right("TRY"), .right("RETRIES"), .right("ITEMS"), .left("ERROR"),
    ]
    let moment = "\(Timestamp(milliseconds: Int64(now)))"
    let rows = batches.map { batch -> [StyledLine] in
      let age = Wording.milliseconds(from: batch.finishedAt, to: moment)
      return [
        StyledLine(batch.id, .red),
        StyledLine(age.map { "\(Wording.duration(milliseconds: $0)) ago" } ?? "-"),
        StyledLine(batch.pipeline ?? "-"), StyledLine(batch.account ?? "-"),
        StyledLine(batch.stage ?? "-"), StyledLine("\(batch.attempt)"),
        StyledLine("\(batch.retryCount)"),
        StyledLine(
          batch.itemsTotal > 0
            ? "\(Wording.count(batch.itemsFailed))/\(Wording.count(batch.itemsTotal))" : "-"),
      ]
    }
    let errors = batches.map { StyledLine($0.error ?? "-") }
    let rest = TextTable.lines(columns, rows.map { $0 + [""] }).map(\.width).max() ?? 0
    let isNarrow = width.map { $0 - rest < leastErrorWidth } ?? false
    let table =
      isNarrow
      ? TextTable.lines(columns.dropLast(), rows)
      : TextTable.lines(columns, zip(rows, errors).map { $0 + [$1] })
    var lines: [StyledLine] = []
    for (at, line) in table.enumerated() {
      // Cut here, for what follows must not be.
      let shown = [line] + (isNarrow && at > 0 ? ["  " + errors[at - 1]] : [])
      lines += shown.map { line in width.map { line.cut(to: $0) } ?? line }
    }
    return lines + advice(batches, width: width)
  }

  /// An error with fewer columns gets a line of its own.
  private static let leastErrorWidth = 40

  /// What to do, once for each kind of error.
  private static func advice(_ batches: [BatchState], width: Int?) -> [StyledLine] {
    var advice = FactPage()
    var met: Set<String> = []
    for trouble in batches.compactMap({ $0.error.flatMap { Trouble.of($0) } }) {
      if met.insert(trouble.seen).inserted {
        advice.add(met.count == 1 ? "do" : "", "“\(trouble.title)”: \(trouble.remedy)", .green)
      }
    }
    return [""] + advice.lines(width: width)
  }

  /// A batch as JSON shows it, with what to do about its error.
  private struct Row: Encodable {
    let batch: BatchState

    private enum CodingKeys: String, CodingKey { case whatToDo }

    func encode(to encoder: any Encoder) throws {
      try batch.encode(to: encoder)
      var container = encoder.container(keyedBy: CodingKeys.self)
      try container.encodeIfPresent(
        batch.error.flatMap { Trouble.of($0) }?.remedy(for: batch.id, batch), forKey: .whatToDo)
    }
  }
}
