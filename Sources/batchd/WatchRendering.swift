internal import Queue

/// The words and bars of `watch`: values to lines.
enum WatchRendering {
  /// A line of the picture, with its place there and how soon it gives way when not all fit.
  struct Row {
    /// What the end of a picture that is too small counts.
    enum Kind: Int, CaseIterable {
      case operation, counts, account, stage, batch
    }

    let kind: Kind
    /// The lower, the longer it stays.
    let rank: Int
    let line: StyledLine
  }

  /// The whole picture, at most `rows` lines: what matters most where not all fit, each in its place.
  static func block(
    _ update: Watcher.Update, paces: [String: WatchPace], columns: Int, rows: Int
  ) -> [StyledLine] {
    var lines = conditions(update)
    guard !update.operations.isEmpty else {
      return (lines + [StyledLine("nothing is under way", .dim)]).suffix(max(rows, 1))
    }
    let shape = Shape(update.operations.map(\.label), columns: columns)
    var all: [Row] = []
    for (at, progress) in update.operations.enumerated() {
      let detail = update.details[progress.label]
      let pace = paces[progress.label]
      // What has ended gives way, the oldest first.
      let rank = progress.isFinished ? 50_000 - min(at, 9_999) : 0
      let head = headline(progress, detail, pace, shape, now: update.conditions.takenAt)
      all.append(Row(kind: .operation, rank: rank, line: head))
      guard let body = detail.map({ rowsBelow($0, progress, pace, shape, update.conditions) })
      else { continue }
      // The row of an only batch says it all.
      let isOnly = progress.total == 1 && body.contains { $0.kind == .batch || $0.kind == .account }
      if !isOnly, let counts = counts(progress) {
        all.append(Row(kind: .counts, rank: rank + 20_000, line: counts))
      }
      if !progress.isFinished || update.operations.count == 1 { all += body }
    }
    let left = max(rows - lines.count, 1)
    lines += fitted(all, into: left)
    return Array(lines.prefix(max(rows, 1)))
  }

  /// The rows in their order, as far as there is room; the last line then counts the others.
  private static func fitted(_ rows: [Row], into left: Int) -> [StyledLine] {
    guard rows.count > left else { return rows.map(\.line) }
    let order = rows.indices.sorted { (rows[$0].rank, $0) < (rows[$1].rank, $1) }
    let shown = Set(order.prefix(left - 1))
    let hidden = rows.indices.filter { !shown.contains($0) }.map { rows[$0].kind }
    let words: [(Row.Kind, String, String)] = [
      (.operation, "operation", "operations"), (.account, "account", "accounts"),
      (.stage, "stage", "stages"), (.batch, "batch", "batches"),
    ]
    let parts = words.compactMap { kind, one, many -> String? in
      let count = hidden.count { $0 == kind }
      return count > 0 ? "\(Wording.count(count)) more \(count == 1 ? one : many)" : nil
    }
    return rows.indices.filter { shown.contains($0) }.map { rows[$0].line }
      + [StyledLine("  … " + parts.joined(separator: ", "), .dim)]
  }

  /// What keeps everything from going on.
  private static func conditions(_ update: Watcher.Update) -> [StyledLine] {
    if let problem = update.problem {
      return [StyledLine("no Redis, trying again: \(problem)", .yellow)]
    }
    var lines: [StyledLine] = []
    guard update.operations.contains(where: { !$0.isFinished }) else { return [] }
    if update.conditions.workers == 0 {
      lines.append(
        StyledLine("no worker is running: nothing moves until one starts (batchd work)", .red))
    }
    if !update.conditions.paused.isEmpty {
      let what = update.conditions.paused.joined(separator: ", ")
      lines.append(StyledLine("paused: \(what) (batchd resume)", .yellow))
    }
    return lines
  }

  /// One operation on one line, for a pipe.
  static func line(
    _ progress: OperationProgress, _ detail: OperationDetail?, _ pace: WatchPace?, now: Int
  ) -> StyledLine {
    headline(progress, detail, pace, Shape.none, now: now) + (counts(progress) ?? "")
  }

  private static func headline(
    _ progress: OperationProgress, _ detail: OperationDetail?, _ pace: WatchPace?, _ shape: Shape,
    now: Int
  ) -> StyledLine {
    let done = WatchPace.done(progress)
    let total = WatchPace.total(progress)
    var line = StyledLine(Columns.padded(progress.label, shape.names), .bold) + "  "
    if shape.bar > 0 {
      line += bar([(done, "█", color(progress))], of: total, shape.bar) + " "
      line += StyledLine(Columns.padded("\(progress.percent)%", 4, isRight: true))
    } else {
      line += StyledLine("\(progress.percent)%")
    }
    line += StyledLine("  \(Wording.count(done))/\(Wording.count(total))")
    if !shape.isNarrow { line += progress.itemsTotal > 0 ? " items" : " batches" }
    if progress.isFinished { return line + "  " + end(of: progress) }
    if let rate = pace?.perSecond, rate > 0, !shape.isNarrow {
      line += StyledLine("  \(perSecond(rate))/s")
    }
    switch pace?.remaining(progress, detail, now: now) {
    case .about(let seconds) where seconds > 0:
      line += StyledLine("  ETA \(duration(seconds))")
    case .stalled(let seconds):
      line += StyledLine("  stalled for \(duration(seconds))", .yellow)
    default: break
    }
    return line
  }

  private static func end(of progress: OperationProgress) -> StyledLine {
    let words = progress.status.replacing("_", with: " ")
    let took = Wording.milliseconds(from: progress.startedAt, to: progress.finishedAt)
    return StyledLine(
      words + (took.map { " in \(Wording.duration(milliseconds: $0))" } ?? ""), color(progress))
  }

  private static func color(_ progress: OperationProgress) -> StyledLine.Style {
    color(progress.status)
  }

  /// Of a batch's or an operation's status.
  static func color(_ status: String) -> StyledLine.Style {
    switch status {
    case "completed": .green
    case "failed": .red
    case "completed_with_errors", "cancelled": .yellow
    default: .cyan
    }
  }

  /// How its batches stand; nil for a single one that says nothing new.
  private static func counts(_ progress: OperationProgress) -> StyledLine? {
    let parts: [(Int, String, StyledLine.Style)] = [
      (progress.pending, "waiting", .plain), (progress.processing, "running", .cyan),
      (progress.retrying, "retrying", .yellow), (progress.completed, "completed", .green),
      (progress.completedWithErrors, "with errors", .yellow), (progress.failed, "failed", .red),
      (progress.cancelled, "cancelled", .yellow),
    ]
    let isPlain = progress.total == 1 && progress.isFinished && progress.itemsFailed == 0
    guard parts.contains(where: { $0.0 > 0 }), !isPlain else { return nil }
    var line = StyledLine("  \(Wording.count(progress.total, "batch", "batches")): ", .dim)
    if let size = progress.size, size > progress.total {
      line = StyledLine(
        "  \(Wording.count(progress.total)) of \(Wording.count(size)) batches: ", .dim)
    }
    line += listed(parts)
    if progress.itemsFailed > 0 {
      line += StyledLine("; \(Wording.count(progress.itemsFailed, "item", "items")) failed", .red)
    }
    return line
  }

  /// `3 waiting, 1 failed`: what there is of each.
  static func listed(_ parts: [(Int, String, StyledLine.Style)]) -> StyledLine {
    var line: StyledLine = ""
    for (at, part) in parts.filter({ $0.0 > 0 }).enumerated() {
      line += StyledLine((at > 0 ? ", " : "") + "\(Wording.count(part.0)) \(part.1)", part.2)
    }
    return line
  }

  static func perSecond(_ rate: Double) -> String {
    let tenths = Int((rate * 10).rounded())
    return rate >= 100 ? Wording.count(tenths / 10) : "\(tenths / 10).\(tenths % 10)"
  }

  static func duration(_ seconds: Int) -> String {
    Wording.duration(milliseconds: seconds * 1000)
  }
}
