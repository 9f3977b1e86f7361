internal import ArgumentParser
internal import Foundation
internal import Pipeline
internal import Stores

/// `batchd import jobs|accounts FILE`
struct ImportCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "import",
    abstract: "Take over jobs and accounts of the systems before, as mongoexport writes them.",
    discussion: """
      Reads one JSON object a line. Repeatable: what is there already stays as it is, so after a \
      mistake mend the file and import it again.

        mongoexport --collection=jobs --out=jobs.ndjson
        batchd import jobs jobs.ndjson
        batchd import accounts accounts.ndjson --dir /etc/batchd/accounts
        batchd refresh workiz --all-accounts
      """,
    subcommands: [ImportJobs.self, ImportAccounts.self])
}

/// `batchd import jobs FILE`
struct ImportJobs: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "jobs",
    abstract: "Write jobs into the results store.",
    discussion: """
      Each line is a job as Workiz sent it, with its account; or has it under document, data or 0. A job \
      that the store has already stays: it was fetched, and is newer. Workers may run meanwhile; \
      Redis is not needed.

        batchd import jobs jobs.ndjson
        batchd import jobs acme.ndjson --account acme
        gunzip -c jobs.ndjson.gz | batchd import jobs -

      Exit codes: 0 all lines are in the store, 65 some are no jobs (each is named), 66 no such \
      file, 69 the store is away.
      """)

  @Argument(help: "One JSON object a line; - is standard input.", completion: .file())
  var file: String

  @Option(help: "The account of all lines.", completion: Names.configuredAccounts)
  var account: String?

  @Option(help: "The member that names the account of a line.")
  var accountField = "account"

  @Option(
    help: ArgumentHelp(
      "The configuration file, which names the store (default: \(Configuration.standardPath)).",
      valueName: "file"), completion: .file(extensions: ["toml"]))
  var config = Configuration.standardPath

  @Flag(help: "Answer in JSON.")
  var json = false

  private static let stepCount = 500
  private static let stepBytes = 8 << 20
  /// Lines that are named one by one.
  private static let namedRefusals = 20

  private struct Report: Encodable {
    var added = 0
    var known = 0
    var refused = 0
  }

  func validate() throws {
    if let account, !Identifier.isValid(account) {
      throw ValidationError("--account must be \(Identifier.rule)")
    }
  }

  func run() async throws {
    let settings = try Configuration(file: config).store
    var lines = try NDJSONLines(file)
    if settings.url == nil, !FileManager.default.fileExists(atPath: settings.path) {
      Terminal.complain("there is no store at \(settings.path) yet: making it")
    }
    let store = try await settings.open()
    var report = Report()
    var step: [(line: Int, document: JobDocument)] = []
    var bytes = 0
    let progress = ProgressLine()
    while let line = try lines.next() {
      do throws(ImportedJob.Refusal) {
        guard let object = line.object else { throw .init(reason: "not a JSON object") }
        let document = try ImportedJob.document(object, account: account, field: accountField)
        step.append((line.number, document))
        bytes += document.document.count
      } catch {
        refuse(line.number, error.reason, &report)
      }
      if step.count == Self.stepCount || bytes >= Self.stepBytes {
        try await write(step, store, &report)
        step.removeAll(keepingCapacity: true)
        bytes = 0
        progress.show("\(Wording.count(line.number)) lines, \(Wording.count(report.added)) added")
      }
    }
    try await write(step, store, &report)
    progress.end()
    try await store.close()
    print(
      json
        ? try CommonOptions.json(report)
        : "\(Wording.count(report.added, "job", "jobs")) added, \(Wording.count(report.known)) known already, \(Wording.count(report.refused, "line", "lines")) refused"
    )
    guard report.refused == 0 else { throw ExitCode(CommandError.Code.data.rawValue) }
  }

  private func refuse(_ line: Int, _ reason: String, _ report: inout Report) {
    report.refused += 1
    if report.refused <= Self.namedRefusals {
      Terminal.complain("line \(line): \(reason)")
    } else if report.refused == Self.namedRefusals + 1 {
      Terminal.complain("… more are only counted")
    }
  }

  private func write(
    _ step: [(line: Int, document: JobDocument)], _ store: any ResultsStore,
    _ report: inout Report
  ) async throws {
    guard !step.isEmpty else { return }
    do {
      let added = try await store.add(step.map(\.document))
      report.added += added
      report.known += step.count - added
    } catch let error as StoreError where error.code == .invalid {
      guard step.count > 1 else { return refuse(step[0].line, error.message, &report) }
      // One of them is what the store does not take: halves, until it stands alone.
      try await write(Array(step[..<(step.count / 2)]), store, &report)
      try await write(Array(step[(step.count / 2)...]), store, &report)
    }
  }
}
