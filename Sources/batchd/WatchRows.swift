internal import Pipeline
internal import Queue

/// What stands below an operation: its accounts, its stages, batches under way.
extension WatchRendering {
  private enum Rank {
    static let trouble = 10_000
    static let busyStage = 30_000
    static let account = 60_000
    static let batch = 70_000
    static let stage = 80_000
    static let waitingAccount = 90_000
    static let endedAccount = 100_000
  }

  static func rowsBelow(
    _ detail: OperationDetail, _ progress: OperationProgress, _ pace: WatchPace?, _ shape: Shape,
    _ conditions: Control.Conditions
  ) -> [Row] {
    let accounts = detail.accounts
    let names = min(accounts.map { Columns.width($0.account) }.max() ?? 0, shape.lesserNames)
    let counts = accounts.map { share($0).count }.max() ?? 0
    var rows = accounts.map { account in
      let trouble = trouble(account, pace, conditions)
      let rank =
        account.isFinished
        ? Rank.endedAccount
        : trouble != nil
          ? Rank.trouble : account.processing > 0 ? Rank.account : Rank.waitingAccount
      return Row(
        kind: .account, rank: rank,
        line: line(
          account, of: progress.operation, trouble, pace, shape, names: names, counts: counts,
          now: conditions.takenAt))
    }
    if detail.accountCount > accounts.count {
      let more = Wording.count(detail.accountCount - accounts.count)
      rows.append(
        Row(
          kind: .account, rank: Rank.account,
          line: StyledLine("  … \(more) more accounts: too many to look at", .dim)))
    }
    if progress.total > 1 { rows += stages(detail, shape) }
    if !detail.isWhole {
      let count = Wording.count(progress.total, "batch is", "batches are")
      rows.append(
        Row(
          kind: .stage, rank: Rank.busyStage,
          line: StyledLine("  stages: \(count) too many to look at each", .dim)))
    }
    let listed = Set(accounts.compactMap(\.batch))
    let batches = detail.underWay.filter { !listed.contains($0.id) }.sorted {
      ($0.account ?? "", $0.id) < ($1.account ?? "", $1.id)
    }
    return rows + batchLines(batches, shape).map { Row(kind: .batch, rank: Rank.batch, line: $0) }
  }

  // MARK: accounts

  private static func share(_ account: AccountState) -> String {
    "\(Wording.count(WatchPace.done(account)))/\(Wording.count(WatchPace.total(account)))"
  }

  private static func line(
    _ account: AccountState, of operation: String, _ trouble: Trouble?, _ pace: WatchPace?,
    _ shape: Shape, names: Int, counts: Int, now: Int
  ) -> StyledLine {
    var line = StyledLine("  \(Columns.padded(account.account, names))  ")
    let done = WatchPace.done(account)
    let total = WatchPace.total(account)
    if shape.lesserBar > 0 {
      line += bar([(done, "█", account.isFinished ? .green : .cyan)], of: total, shape.lesserBar)
      line += " "
    }
    line += StyledLine(Columns.padded(share(account), counts, isRight: true))
    guard !account.isFinished else { return line + "  " + end(of: account) }
    if let trouble {
      line += StyledLine("  \(trouble.what)", .yellow)
      if shape.isNarrow, !trouble.why.isEmpty { line += StyledLine(": \(trouble.why)", .yellow) }
    }
    if let rate = pace?.perSecond(account), rate > 0, !shape.isNarrow || trouble == nil {
      line += StyledLine("  \(perSecond(rate))/s")
    }
    if case .about(let seconds)? = pace?.remaining(account, now: now), seconds > 0 {
      line += StyledLine("  ETA \(account.isAheadPartial ? "over " : "")\(duration(seconds))")
    }
    if let batch = account.batch {
      // Those that discovery makes bear the operation's name, which stands above.
      let name =
        batch.hasPrefix(operation + ".") ? "…" + batch.dropFirst(operation.count + 1) : batch
      line += StyledLine("  \(name)") + StyledLine(" \(account.stage ?? "")", .dim)
    } else if let number = account.number {
      line += StyledLine("  batch \(Wording.count(number)) of \(Wording.count(account.total))")
    }
    // The one of which the line tells does not wait beside itself.
    let waiting =
      account.pending - (account.batch != nil && account.processing + account.retrying == 0 ? 1 : 0)
    if waiting > 0 { line += StyledLine("  \(Wording.count(waiting)) waiting") }
    if account.failed > 0 { line += StyledLine("  \(Wording.count(account.failed)) failed", .red) }
    if account.itemsFailed > 0 {
      let words = Wording.count(account.itemsFailed, "item", "items")
      line += StyledLine("  \(words) failed", .red)
    }
    // The longest comes last, where the line may be cut.
    if let why = trouble?.why, !why.isEmpty, !shape.isNarrow {
      line += StyledLine("  \(why)", .yellow)
    }
    return line
  }

  private static func end(of account: AccountState) -> StyledLine {
    let line = listed([
      (account.completed + account.unseen, "completed", .green),
      (account.completedWithErrors, "with errors", .yellow), (account.failed, "failed", .red),
      (account.cancelled, "cancelled", .yellow),
    ])
    guard account.itemsFailed > 0 else { return line }
    let items = Wording.count(account.itemsFailed, "item", "items")
    return line + StyledLine("; \(items) failed", .red)
  }

  private struct Trouble {
    let what: String
    var why = ""
  }

  /// What a person would want to know about an account that does not move as it should; nil when it does.
  private static func trouble(
    _ account: AccountState, _ pace: WatchPace?, _ conditions: Control.Conditions
  ) -> Trouble? {
    guard !account.isFinished else { return nil }
    let now = conditions.takenAt
    func wait(_ moment: Int) -> String { Wording.duration(milliseconds: moment - now) }
    let why = account.error ?? ""
    if conditions.paused.contains("account:\(account.account)") { return Trouble(what: "paused") }
    if let due = account.dueAt {
      let what = account.retrying > 0 ? "again" : account.error == nil ? "due" : "goes on"
      return Trouble(what: due > now ? "\(what) in \(wait(due))" : "\(what) now", why: why)
    }
    if let holder = account.laneHolder {
      let operation = account.laneOperation.map { $0 == holder ? "" : " of \($0)" } ?? ""
      let ahead = account.batchesAhead > 1 ? ", \(account.batchesAhead) ahead" : ""
      return Trouble(what: "lane held by \(holder)\(operation)\(ahead)")
    }
    if let opens = account.gateOpensAt, opens > now, account.gateReason != "new connection" {
      return Trouble(
        what: "gate closed for \(wait(opens))", why: account.gateReason ?? "many wait for it")
    }
    if case .stalled(let seconds)? = pace?.remaining(account, now: now) {
      return Trouble(what: "stalled for \(duration(seconds))")
    }
    return account.retrying > 0 && !account.isRunning
      ? Trouble(what: "waits for a slot", why: why) : nil
  }

  // MARK: stages

  private static func stages(_ detail: OperationDetail, _ shape: Shape) -> [Row] {
    let names = detail.stages.map(\.stage.rawValue.count).max() ?? 0
    let width = shape.isNarrow ? max(shape.bar, 6) : max(shape.bar, 12)
    return detail.stages.map { count in
      let passed = count.passed + count.unseen
      var line = StyledLine("  \(Columns.padded(count.stage.rawValue, names))  ", .dim)
      line += bar(
        [
          (passed, "█", .green), (count.running, "▓", .cyan), (count.retrying, "▒", .yellow),
          (count.waiting, "▒", .plain), (count.failed, "×", .red), (count.cancelled, "×", .yellow),
        ], of: count.total, width)
      line +=
        " "
        + listed([
          (count.running, "running", .cyan), (count.retrying, "retrying", .yellow),
          (count.waiting, "waiting", .plain), (count.failed, "failed", .red),
          (count.cancelled, "cancelled", .yellow), (passed, "passed", .green),
        ])
      return Row(kind: .stage, rank: count.isBusy ? Rank.busyStage : Rank.stage, line: line)
    }
  }

  // MARK: batches

  private static func batchLines(_ batches: [BatchState], _ shape: Shape) -> [StyledLine] {
    func width(_ text: (BatchState) -> String) -> Int {
      batches.map { Columns.width(text($0)) }.max() ?? 0
    }
    let accounts = min(width { $0.account ?? "" }, shape.lesserNames)
    let ids = min(width(\.id), shape.isNarrow ? 16 : 32)
    let stages = width { $0.stage ?? "" }
    return batches.map { batch in
      var line: StyledLine = "  "
      if accounts > 0 { line += StyledLine(Columns.padded(batch.account ?? "", accounts)) + "  " }
      line += StyledLine(Columns.padded(batch.id, ids)) + "  "
      line += StyledLine(Columns.padded(batch.stage ?? "", stages), .dim)
      let ended = batch.itemsDone + batch.itemsFailed
      if batch.itemsTotal > 0 {
        if shape.lesserBar > 0 {
          line += "  " + bar([(ended, "█", .cyan)], of: batch.itemsTotal, shape.lesserBar)
        }
        line += StyledLine(" \(Wording.count(ended))/\(Wording.count(batch.itemsTotal))")
      }
      if batch.itemsFailed > 0 { line += StyledLine("  \(batch.itemsFailed) failed", .red) }
      if batch.attempt > 1 { line += StyledLine("  attempt \(batch.attempt)", .yellow) }
      return line
    }
  }
}
