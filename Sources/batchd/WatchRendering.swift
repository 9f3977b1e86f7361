internal import Queue

/// The words and bars of `watch`: values to lines.
enum WatchRendering {
  /// The whole picture, at most `rows` lines.
  static func block(
    _ update: Watcher.Update, rates: [String: WatchRate], columns: Int, rows: Int
  ) -> [StyledLine] {
    guard !update.operations.isEmpty else { return [StyledLine("nothing is under way", .dim)] }
    let nameWidth = min(update.operations.map(\.operation.count).max() ?? 0, max(columns / 3, 8))
    let bar = barWidth(columns: columns, names: nameWidth)
    // What has ended gives way first.
    let living = update.operations.filter { !$0.isFinished }
    let ended = update.operations.filter(\.isFinished)
    let operations = ended.suffix(max(rows / 2 - living.count, 3)) + living
    let heads = operations.map { progress -> [StyledLine] in
      let head = headline(progress, rates[progress.operation], names: nameWidth, bar: bar)
      // The row of an only batch says it all.
      let isOnly =
        progress.total == 1 && update.underWay.contains { $0.operation == progress.operation }
      return [head] + (isOnly ? [] : [counts(progress)].compactMap { $0 })
    }
    let left = rows - heads.reduce(0) { $0 + $1.count }
    guard left >= 0 else {
      let note = StyledLine("… the window is too small for the rest", .dim)
      return heads.flatMap { $0 }.prefix(rows - 1) + [note]
    }
    return withBatches(update.underWay, below: zip(operations.map(\.operation), heads), left, bar)
  }

  /// Puts each batch below its operation, as far as `left` lines suffice.
  private static func withBatches(
    _ underWay: [BatchState], below heads: some Sequence<(String, [StyledLine])>, _ left: Int,
    _ bar: Int
  ) -> [StyledLine] {
    let shown = underWay.count <= left ? underWay.count : max(left - 1, 0)
    let rows = zip(underWay, batchLines(Array(underWay.prefix(shown)), bar: bar))
    var lines: [StyledLine] = []
    for (operation, head) in heads {
      lines += head + rows.filter { $0.0.operation == operation }.map(\.1)
    }
    let hidden = underWay.count - shown
    if hidden > 0 && left > 0 { lines.append(StyledLine("  … \(hidden) more under way", .dim)) }
    return lines
  }

  /// One operation on one line, for a pipe.
  static func line(_ progress: OperationProgress, _ rate: WatchRate?) -> StyledLine {
    headline(progress, rate, names: 0, bar: 0) + (counts(progress) ?? "")
  }

  private static func barWidth(columns: Int, names: Int) -> Int {
    min(max(columns - names - 46, 6), 30)
  }

  private static func headline(
    _ progress: OperationProgress, _ rate: WatchRate?, names: Int, bar: Int
  ) -> StyledLine {
    let done = WatchRate.done(progress)
    let total = WatchRate.total(progress)
    var line = StyledLine(padded(progress.operation, names), .bold) + "  "
    if bar > 0 {
      line += self.bar(done, of: total, bar, color(progress)) + " "
      line += StyledLine(padded("\(progress.percent)%", 4, isRight: true))
    } else {
      line += StyledLine("\(progress.percent)%")
    }
    let unit = progress.itemsTotal > 0 ? "items" : "batches"
    line += StyledLine("  \(Wording.count(done))/\(Wording.count(total)) \(unit)")
    if progress.isFinished { return line + "  " + end(of: progress) }
    if let rate = rate?.itemsPerSecond {
      line += StyledLine("  \(perSecond(rate))/s")
    }
    if let seconds = rate?.remainingSeconds(progress) {
      line += StyledLine("  ETA \(Wording.duration(milliseconds: seconds * 1000))")
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
    let shown = parts.filter { $0.0 > 0 }
    let isPlain = progress.total == 1 && progress.isFinished && progress.itemsFailed == 0
    guard !shown.isEmpty, !isPlain else { return nil }
    var line = StyledLine("  \(Wording.count(progress.total, "batch", "batches")): ", .dim)
    if let size = progress.size, size > progress.total {
      line = StyledLine(
        "  \(Wording.count(progress.total)) of \(Wording.count(size)) batches: ", .dim)
    }
    for (at, part) in shown.enumerated() {
      line += StyledLine((at > 0 ? ", " : "") + "\(Wording.count(part.0)) \(part.1)", part.2)
    }
    if progress.itemsFailed > 0 {
      line += StyledLine("; \(Wording.count(progress.itemsFailed, "item", "items")) failed", .red)
    }
    return line
  }

  private static func batchLines(_ batches: [BatchState], bar: Int) -> [StyledLine] {
    func width(_ text: (BatchState) -> String) -> Int { batches.map { text($0).count }.max() ?? 0 }
    let accounts = min(width { $0.account ?? "" }, 20)
    let ids = min(width(\.id), 24)
    let stages = width { $0.stage ?? "" }
    return batches.map { batch in
      var line: StyledLine = "  "
      if accounts > 0 { line += StyledLine(padded(batch.account ?? "", accounts)) + "  " }
      line += StyledLine(padded(batch.id, ids)) + "  "
      line += StyledLine(padded(batch.stage ?? "", stages), .dim)
      let ended = batch.itemsDone + batch.itemsFailed
      if batch.itemsTotal > 0 {
        line += "  " + self.bar(ended, of: batch.itemsTotal, max(bar / 2, 5), .cyan)
        line += StyledLine(" \(Wording.count(ended))/\(Wording.count(batch.itemsTotal))")
      }
      if batch.itemsFailed > 0 { line += StyledLine("  \(batch.itemsFailed) failed", .red) }
      if batch.attempt > 1 { line += StyledLine("  attempt \(batch.attempt)", .yellow) }
      return line
    }
  }

  private static func bar(
    _ done: Int, of total: Int, _ width: Int, _ style: StyledLine.Style
  ) -> StyledLine {
    let full = total > 0 ? min(width, width * done / total) : 0
    return StyledLine(String(repeating: "█", count: full), style)
      + StyledLine(String(repeating: "░", count: width - full), .dim)
  }

  private static func perSecond(_ rate: Double) -> String {
    let tenths = Int((rate * 10).rounded())
    return rate >= 100 ? Wording.count(tenths / 10) : "\(tenths / 10).\(tenths % 10)"
  }

  static func padded(_ text: String, _ width: Int, isRight: Bool = false) -> String {
    guard width > 0 else { return text }
    if text.count > width { return text.prefix(width - 1) + "…" }
    let space = String(repeating: " ", count: width - text.count)
    return isRight ? space + text : text + space
  }
}
