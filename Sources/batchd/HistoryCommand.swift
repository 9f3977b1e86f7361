internal import ArgumentParser
internal import Foundation
internal import Pipeline
internal import Stores

/// `batchd history [BATCH]`: what became of batches, also long after Redis has forgotten them.
struct HistoryCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "history",
    abstract: "Show ended runs of batches from the results store, newest first.",
    discussion: """
      The store keeps each run of each batch: Redis forgets a batch a day after its end. Asks the \
      store alone; Redis need not be there.

        batchd history
        batchd history b1
        batchd history --status failed --since 2026-11-01
        batchd history --operation nightly --json --limit 10000
      """)

  @Argument(help: "Only the runs of this batch, with the errors of its items.")
  var batch: String?

  @Option(help: "Only batches of this operation.", completion: Names.operations)
  var operation: String?

  @Option(help: "Only batches of this account.", completion: Names.accounts)
  var account: String?

  @Option(help: "Only batches of this pipeline.", completion: Names.pipelines)
  var pipeline: String?

  @Option(
    help: "Only these ends: \(statuses.joined(separator: ", ")).", completion: .list(statuses))
  var status: String?

  @Option(
    help: "Only runs that ended at this time or later: RFC 3339, or a date (UTC).",
    transform: moment)
  var since: Timestamp?

  @Option(help: "Only runs that ended before this time.", transform: moment)
  var before: Timestamp?

  @Option(help: "At most so many, 1 to 10000.")
  var limit = 50

  @Option(
    help: ArgumentHelp(
      "The configuration file (default: \(Configuration.standardPath)).", valueName: "file"),
    completion: .file(extensions: ["toml"]))
  var config = Configuration.standardPath

  @Flag(help: "Answer in JSON.")
  var json = false

  private static let statuses = EndedBatch.statuses

  /// A time or a date in UTC, as a command line spells it.
  static func moment(_ text: String) throws -> Timestamp {
    let whole = text.contains("T") ? text : "\(text)T00:00:00Z"
    guard let moment = Timestamp(rfc3339: whole) else {
      throw ValidationError("“\(text)” is neither 2026-01-31 nor 2026-01-31T12:00:00Z")
    }
    return moment
  }

  func validate() throws {
    guard (1...10_000).contains(limit) else { throw ValidationError("--limit must be 1 to 10000") }
    if let status, !Self.statuses.contains(status) {
      throw ValidationError("“\(status)” is none of \(Self.statuses.joined(separator: ", "))")
    }
  }

  func run() async throws {
    let settings = try Configuration(file: config).store
    if settings.url == nil, Self.isVoid(settings.path) {
      throw CommandError(
        .noInput,
        "there is no store at \(settings.path): no worker of this configuration has run yet; start one, or name its file with --config"
      )
    }
    let store = try await settings.open(makesTables: false)
    let runs = try await store.history(
      HistoryQuery(
        batch: batch, operation: operation, account: account, pipeline: pipeline, status: status,
        after: since, before: before, limit: limit))
    try await store.close()
    if json {
      print(try CommonOptions.json(runs.map(Row.init)))
    } else {
      for line in lines(runs) { print(line) }
    }
  }

  /// Whether there is no store in the file. SQLite takes an empty one for a database, and would make its tables in it.
  private static func isVoid(_ path: String) -> Bool {
    let file = URL(filePath: path).resolvingSymlinksInPath().path
    let attributes = try? FileManager.default.attributesOfItem(atPath: file)
    // What cannot be looked at is for SQLite to name.
    guard let attributes else { return !FileManager.default.fileExists(atPath: file) }
    return attributes[.type] as? FileAttributeType == .typeRegular
      && (attributes[.size] as? NSNumber)?.int64Value == 0
  }

  private func lines(_ runs: [EndedBatch]) -> [String] {
    guard !runs.isEmpty else { return ["no run has ended that fits"] }
    let columns: [TextTable.Column] = [
      .left("ENDED"), .left("BATCH"), .right("RUN"), .left("PIPELINE"), .left("ACCOUNT"),
      .left("STATUS"), .right("ITEMS"), .right("RETRIES"), .right("TOOK"), .left("ERROR"),
    ]
    let rows = runs.map { run in
      [
        run.finishedAt.description, run.batch, "\(run.run)", run.pipeline, run.account ?? "",
        run.status, "\(run.itemsDone)/\(run.itemsTotal)", "\(run.retryCount)",
        run.startedAt.map { Self.took(from: $0, to: run.finishedAt) } ?? "", run.error ?? "",
      ].map { StyledLine($0) }
    }
    let width = Terminal().size?.columns
    var lines = TextTable.lines(columns, rows).map { $0.text(width: width, hasColor: false) }
    if batch != nil {
      for run in runs {
        for (item, error) in run.itemErrors.sorted(by: { $0.key < $1.key }) {
          lines.append(StyledLine("run \(run.run), item \(item): \(error)").plainText)
        }
      }
    }
    if runs.count == limit {
      lines.append("there may be more: --limit, or --before \(runs[limit - 1].finishedAt)")
    }
    return lines
  }

  private static func took(from start: Timestamp, to end: Timestamp) -> String {
    Wording.duration(milliseconds: Int(end.milliseconds - start.milliseconds))
  }

  /// A run as JSON shows it: the names of the columns in SQL.
  private struct Row: Encodable {
    let batch: String
    let run: Int
    let pipeline: String
    let account: String?
    let operation: String
    let batchNumber: Int
    let status: String
    let stage: String
    let totalItems: Int
    let completedItems: Int
    let failedItems: Int
    let retryCount: Int
    let error: String?
    let errors: [String: String]
    let admittedAt: String
    let startedAt: String?
    let finishedAt: String

    init(_ run: EndedBatch) {
      batch = run.batch
      self.run = run.run
      pipeline = run.pipeline
      account = run.account
      operation = run.operation
      batchNumber = run.number
      status = run.status
      stage = run.stage.rawValue
      totalItems = run.itemsTotal
      completedItems = run.itemsDone
      failedItems = run.itemsFailed
      retryCount = run.retryCount
      error = run.error
      errors = run.itemErrors
      admittedAt = run.admittedAt.description
      startedAt = run.startedAt?.description
      finishedAt = run.finishedAt.description
    }
  }
}
