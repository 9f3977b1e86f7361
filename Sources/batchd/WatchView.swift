internal import Queue

/// Turns what a watcher saw into what is written: a block that is drawn over, lines, or NDJSON. Writes nothing itself.
struct WatchView {
  enum Form {
    case live, plain, json
  }

  /// A pipe gets a line for an operation at most this often, and one for its end.
  private static let plainPause = Duration.seconds(1)

  /// A terminal that is not ours for a while gets lines.
  var form: Form
  private var paces: [String: WatchPace] = [:]
  private var screen = Screen()
  private var fold = WatchFold()
  private var hasBegun = false
  private var problem: String?
  private var shown: [String: (progress: OperationProgress, at: ContinuousClock.Instant)] = [:]
  private var told: [String: OperationDetail] = [:]

  init(_ form: Form) { self.form = form }

  /// - Parameters:
  ///   - now: for rates.
  ///   - size: of the terminal; a pipe has none.
  mutating func text(
    _ update: Watcher.Update, at now: ContinuousClock.Instant, size: (columns: Int, rows: Int)?,
    hasColor: Bool, notes: [StyledLine] = []
  ) throws -> String {
    if update.problem == nil {
      for progress in update.operations {
        paces[progress.label, default: WatchPace()].note(
          progress, update.details[progress.label], at: now)
      }
    }
    defer { problem = update.problem }
    switch form {
    case .json: return try ndjson(update)
    case .plain:
      return (notes + lines(update, at: now)).map { $0.plainText + "\n" }.joined()
    case .live:
      let size = Screen.Size(columns: size?.columns ?? 80, rows: size?.rows ?? 24)
      let notes = notes + self.notes(update, at: now)
      let block = WatchRendering.block(
        update, paces: paces, columns: size.columns,
        rows: screen.blockRows(size, with: notes.count))
      return screen.text(
        notes: notes, block: block, size: size, hasColor: hasColor, isLast: update.isFinished)
    }
  }

  /// What leaves the terminal as it was, with what was held back.
  mutating func end() -> String {
    form == .json ? "" : screen.close(fold.rest())
  }

  /// What takes the picture away before others write.
  mutating func leave() -> String { screen.leave() }

  /// Somebody else may have written meanwhile.
  mutating func forget() { screen.forget() }

  // MARK: lines

  private mutating func lines(_ update: Watcher.Update, at now: ContinuousClock.Instant)
    -> [StyledLine]
  {
    var lines = notes(update, at: now)
    if update.operations.isEmpty && !hasBegun { lines.append("nothing is under way") }
    hasBegun = true
    if let problem = update.problem, self.problem == nil {
      lines.append(StyledLine("no Redis, trying again: \(problem)"))
    }
    for progress in update.operations {
      if let last = shown[progress.label] {
        guard last.progress != progress else { continue }
        if !progress.isFinished && now - last.at < Self.plainPause { continue }
      }
      shown[progress.label] = (progress, now)
      lines.append(
        WatchRendering.line(
          progress, update.details[progress.label], paces[progress.label],
          now: update.conditions.takenAt))
    }
    return lines
  }

  /// What is said once and stays.
  private mutating func notes(
    _ update: Watcher.Update, at now: ContinuousClock.Instant
  ) -> [StyledLine] {
    var notes = fold.lines(update.changes.compactMap(WatchRendering.note), at: now)
    if update.isFinished { notes += fold.rest() }
    if update.hasSkipped {
      notes.append(
        StyledLine("events were skipped: more came at once than batchd:events keeps", .yellow))
    }
    if problem != nil && update.problem == nil {
      notes.append(StyledLine("Redis is back", .green))
    }
    return notes
  }

  // MARK: NDJSON

  private mutating func ndjson(_ update: Watcher.Update) throws -> String {
    var lines: [String] = []
    if update.problem != problem, update.problem == nil || problem == nil {
      lines.append(try CommonOptions.json(WatchLine.Problem(error: update.problem)))
    }
    if update.hasSkipped { lines.append(try CommonOptions.json(WatchLine.Skipped())) }
    lines += try update.changes.map { try CommonOptions.json(WatchLine.Event($0)) }
    for progress in update.operations {
      let name = progress.label
      let detail = update.details[name] ?? OperationDetail()
      guard shown[name]?.progress != progress || told[name] != detail else { continue }
      shown[name] = (progress, .now)
      told[name] = detail
      lines.append(
        try CommonOptions.json(
          WatchLine.Progress(
            progress: progress, detail: detail, pace: paces[name] ?? WatchPace(),
            now: update.conditions.takenAt)))
    }
    return lines.map { $0 + "\n" }.joined()
  }
}
