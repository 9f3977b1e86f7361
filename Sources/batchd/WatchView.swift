internal import Queue

/// Turns what a watcher saw into what is written: a block that is drawn over, lines, or NDJSON. Writes nothing itself.
struct WatchView {
  enum Form {
    case live, plain, json
  }

  private enum Code {
    static let hideCursor = "\u{1B}[?25l"
    static let showCursor = "\u{1B}[?25h"
    static let eraseBelow = "\u{1B}[J"
    static func up(_ rows: Int) -> String { rows > 0 ? "\u{1B}[\(rows)A\r" : "\r" }
  }

  /// A pipe gets a line for an operation at most this often, and one for its end.
  private static let plainPause = Duration.seconds(1)

  private let form: Form
  private var rates: [String: WatchRate] = [:]
  /// The widths of the lines on the screen.
  private var drawn: [Int] = []
  private var hasBegun = false
  private var problem: String?
  private var shown: [String: (progress: OperationProgress, at: ContinuousClock.Instant)] = [:]

  init(_ form: Form) { self.form = form }

  /// - Parameters:
  ///   - now: for rates.
  ///   - size: of the terminal; a pipe has none.
  mutating func text(
    _ update: Watcher.Update, at now: ContinuousClock.Instant, size: (columns: Int, rows: Int)?,
    hasColor: Bool
  ) throws -> String {
    if update.problem == nil {
      for progress in update.operations {
        rates[progress.operation, default: WatchRate()].note(progress, at: now)
      }
    }
    defer { problem = update.problem }
    switch form {
    case .json: return try ndjson(update)
    case .plain:
      return lines(update, at: now).map { $0.text(width: nil, hasColor: false) + "\n" }.joined()
    case .live: return block(update, size: size ?? (80, 24), hasColor: hasColor)
    }
  }

  /// What leaves the terminal as it was.
  func end() -> String { form == .live && hasBegun ? Code.showCursor : "" }

  // MARK: live

  private mutating func block(
    _ update: Watcher.Update, size: (columns: Int, rows: Int), hasColor: Bool
  ) -> String {
    // A narrower window has wrapped the lines that stand there.
    let rows = drawn.reduce(0) { $0 + max(1, ($1 + size.columns - 1) / size.columns) }
    var text = (hasBegun ? "" : Code.hideCursor) + Code.up(rows) + Code.eraseBelow
    hasBegun = true
    for line in notes(update) { text += line.text(width: nil, hasColor: hasColor) + "\n" }
    var lines = WatchRendering.block(
      update, rates: rates, columns: size.columns, rows: max(size.rows - 1, 1))
    if let problem = update.problem {
      lines.append(StyledLine("no Redis, trying again: \(problem)", .yellow))
    }
    text += lines.map { $0.text(width: size.columns, hasColor: hasColor) + "\n" }.joined()
    drawn = lines.map { min($0.width, size.columns) }
    return text
  }

  // MARK: lines

  private mutating func lines(_ update: Watcher.Update, at now: ContinuousClock.Instant)
    -> [StyledLine]
  {
    var lines = notes(update)
    if update.operations.isEmpty && !hasBegun { lines.append("nothing is under way") }
    hasBegun = true
    if let problem = update.problem, self.problem == nil {
      lines.append(StyledLine("no Redis, trying again: \(problem)"))
    }
    for progress in update.operations {
      if let last = shown[progress.operation] {
        guard last.progress != progress else { continue }
        if !progress.isFinished && now - last.at < Self.plainPause { continue }
      }
      shown[progress.operation] = (progress, now)
      lines.append(WatchRendering.line(progress, rates[progress.operation]))
    }
    return lines
  }

  /// What is said once and stays.
  private func notes(_ update: Watcher.Update) -> [StyledLine] {
    var notes = update.changes.flatMap(WatchRendering.notes)
    if problem != nil && update.problem == nil {
      notes.append(StyledLine("Redis is back", .green))
    }
    return notes
  }

  // MARK: NDJSON

  private struct ProgressLine: Encodable {
    let type = "progress"
    let progress: OperationProgress
    let itemsPerSecond: Double?
    let remainingSeconds: Int?

    private enum Key: String, CodingKey { case type, itemsPerSecond, remainingSeconds }

    func encode(to encoder: any Encoder) throws {
      try progress.encode(to: encoder)
      var values = encoder.container(keyedBy: Key.self)
      try values.encode(type, forKey: .type)
      try values.encodeIfPresent(itemsPerSecond, forKey: .itemsPerSecond)
      try values.encodeIfPresent(remainingSeconds, forKey: .remainingSeconds)
    }
  }

  private struct ChangeLine: Encodable {
    let type = "event"
    let event: String
    let batch: String?
    let operation: String?
    let stage: String?
    let at: String?
    let details: [String: String]
    let error: String?
    let itemErrors: [String: String]
  }

  private struct ProblemLine: Encodable {
    let type = "redis"
    let error: String?
  }

  private mutating func ndjson(_ update: Watcher.Update) throws -> String {
    var lines: [String] = []
    if update.problem != problem, update.problem == nil || problem == nil {
      lines.append(try CommonOptions.json(ProblemLine(error: update.problem)))
    }
    for entry in update.changes {
      let change = entry.change
      lines.append(
        try CommonOptions.json(
          ChangeLine(
            event: change.event, batch: change.batch, operation: change.operation,
            stage: change.stage, at: change.at, details: change.details,
            error: entry.batch?.error,
            itemErrors: entry.itemErrors)))
    }
    for progress in update.operations where shown[progress.operation]?.progress != progress {
      shown[progress.operation] = (progress, .now)
      let rate = rates[progress.operation]
      lines.append(
        try CommonOptions.json(
          ProgressLine(
            progress: progress, itemsPerSecond: rate?.itemsPerSecond,
            remainingSeconds: rate?.remainingSeconds(progress))))
    }
    return lines.map { $0 + "\n" }.joined()
  }
}
