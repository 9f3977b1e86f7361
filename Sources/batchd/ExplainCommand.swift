internal import ArgumentParser
internal import Pipeline
internal import Queue
internal import Stages

/// `batchd explain ID`
struct ExplainCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "explain",
    abstract: "Say why a batch or an operation is where it is, and what comes next.",
    discussion: """
      What it waits behind, who holds its lane or lease, until when and after which error it is \
      delayed, which pause or gate stops it, and what a person can do. It only reads. Times are by \
      Redis's clock, in UTC.

        batchd explain b1
        batchd explain nightly
        batchd explain operation:nightly
        batchd explain b1 --json | jq -r .next.text

      A name that is both a batch's and an operation's means the batch; operation:NAME the other.

      Exit status: 0, or 65 when Redis knows no such name.
      """)

  @Argument(
    help: ArgumentHelp("A batch or an operation.", valueName: "id|operation:op"),
    completion: Names.explained)
  var name: String

  @OptionGroup var common: CommonOptions

  private static let operationMark = "operation:"
  private static let unknown = ExitCode(CommandError.Code.data.rawValue)

  func run() async throws {
    let configuration = try common.configuration()
    let reached = try await common.connect(configuration)
    let isSpread = common.names(configuration).count > 1
    let config = common.config.map { " --config \($0)" } ?? ""
    let isOperation = name.hasPrefix(Self.operationMark)
    let name = isOperation ? String(name.dropFirst(Self.operationMark.count)) : name
    let knowing = try await reached.first { control in
      switch try await control.explain(name, gates: { _ in [] }).whereabouts {
      case .unknown: .unknown
      case .rejected: .rejected
      case .ended: .ended
      default: .living
      }
    }
    var found = try await (knowing ?? reached.controls[0]).explain(name) {
      configuration.gates(of: $0)
    }
    // That of a service may be under another prefix.
    let asked = found.batch.map(configuration.gates) ?? []
    for control in reached.controls where control.keys != knowing?.keys {
      found.gates += try await control.gates(
        asked.filter { configuration.prefixes.home(ofGate: $0) == control.keys.prefix })
    }
    let again = try common.repeated(
      configuration, place: isSpread ? knowing?.keys.prefix : nil)
    let isBatch = found.batch != nil
    if isOperation || !isBatch {
      var isKnown = false
      for one in reached.controls {
        guard let operation = try await one.explain(operation: name) else { continue }
        try show(
          operation, .of(operation, again: again, config: config),
          of: isSpread ? one.keys.prefix : nil)
        isKnown = true
      }
      // A part of it may be where nobody could look.
      if isKnown, let failure = reached.failure { throw ExitCode(failure.code.rawValue) }
      if isKnown { return }
    }
    if let failure = reached.failure, found.whereabouts == .unknown || isOperation {
      throw ExitCode(failure.code.rawValue)
    }
    if isOperation && (isBatch || found.whereabouts == .unknown) {
      throw CommandError(
        .data,
        "Redis knows no operation \"\(name)\": was it enqueued, or is its retention over? See batchd status, and batchd history --operation \(name)"
      )
    }
    var words = ExplanationWords(found: found)
    // The default pipeline says nothing of what workers elsewhere were told.
    if CommonOptions.file(common.config) != nil, let batch = found.batch {
      words.retries = configuration.stage(of: batch)?.retry.retries
      words.maxCrashes = configuration.worker.maxCrashes
    }
    try show(
      words, .of(words, again: again, config: config), of: isSpread ? knowing?.keys.prefix : nil)
    if found.whereabouts == .unknown { throw Self.unknown }
  }

  /// - Parameter prefix: under which it is; nil when there is one only, or nobody knows it.
  private func show(_ words: ExplanationWords, _ next: NextStep, of prefix: String?) throws {
    guard !common.json else {
      return try say(
        Answer(found: words.found, place: words.place, advice: words.advice, next: next),
        of: prefix)
    }
    let found = words.found
    var head = StyledLine(found.id, .bold)
    if let batch = found.batch {
      head += StyledLine("  batch", .dim) + "  "
      head += StyledLine(
        batch.status.replacing("_", with: " "), WatchRendering.color(batch.status))
      let account = batch.account.map { "  account \($0)" } ?? ""
      let operation = batch.operation == batch.id ? "" : "  operation \(batch.operation ?? "")"
      let run = batch.run > 1 ? "  run \(batch.run)" : ""
      let place = prefix.map { "  under \($0)" } ?? ""
      head += StyledLine("  \(batch.pipeline ?? "")\(account)\(operation)\(run)\(place)", .dim)
    }
    draw(head, words.page, next, found.takenAt)
  }

  /// - Parameter prefix: of which it is a part there; nil when there is one only.
  private func show(
    _ found: OperationExplanation, _ next: NextStep, of prefix: String?
  ) throws {
    let words = OperationWords(found: found)
    guard !common.json else {
      return try say(Answer(found: found, place: nil, advice: nil, next: next), of: prefix)
    }
    let status = found.progress.status
    let head =
      StyledLine(found.progress.operation, .bold)
      + StyledLine("  operation\(prefix.map { " under \($0)" } ?? "")  ", .dim)
      + StyledLine(status.replacing("_", with: " "), WatchRendering.color(status))
    draw(head, words.page, next, found.takenAt)
  }

  private func say(_ answer: some Encodable, of prefix: String?) throws {
    print(
      try prefix.map {
        try CommonOptions.json(CommonOptions.OfPrefix(prefix: $0, value: answer))
      } ?? CommonOptions.json(answer))
  }

  private func draw(_ head: StyledLine, _ page: FactPage, _ next: NextStep, _ now: Int) {
    let terminal = Terminal()
    var page = page
    page.add("next", next.text, .cyan)
    for command in next.commands { page.add("", command, .bold) }
    let clock = "\(Wording.clock(ExplanationWords.text(now))) UTC, by Redis's clock"
    page.add("now", clock, .dim)
    for line in [head] + page.lines(width: terminal.size?.columns) {
      print(line.text(width: nil, hasColor: terminal.hasColor))
    }
  }

  /// What was found, and what it means, in one object.
  private struct Answer<Found: Encodable>: Encodable {
    let found: Found
    let place: String?
    let advice: String?
    let next: NextStep

    private enum CodingKeys: String, CodingKey { case summary, whatToDo, next }

    func encode(to encoder: any Encoder) throws {
      try found.encode(to: encoder)
      var container = encoder.container(keyedBy: CodingKeys.self)
      try container.encodeIfPresent(place, forKey: .summary)
      try container.encodeIfPresent(advice, forKey: .whatToDo)
      try container.encode(next, forKey: .next)
    }
  }
}

extension Configuration {
  /// The batch's stage as this configuration has it.
  func stage(of batch: BatchState) -> StageSettings? {
    let stages = batch.pipeline.flatMap { pipelines[$0] }?.stages
    return stages?.first { $0.key.rawValue == batch.stage }?.value
  }

  /// The gates that a handler of the batch's stage asks, by the names that Redis knows them by.
  func gates(of batch: BatchState) -> [String] {
    guard let stage = stage(of: batch) else { return [] }
    return gates(of: stage, account: batch.account)
  }

  /// The gates that a stage asks for the batches of an account.
  func gates(of stage: StageSettings, account: String?) -> [String] {
    if stage.handler == .workiz { return account.map { [WorkizConfiguration.gate($0)] } ?? [] }
    guard let name = stage.gate else { return [] }
    let isPerAccount = gates[name]?.isPerAccount ?? false
    return [isPerAccount ? account.map { "\(name):\($0)" } ?? name : name]
  }
}
