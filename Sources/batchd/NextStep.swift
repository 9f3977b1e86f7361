internal import Queue

/// What will happen to a batch or an operation: by itself, or when a person runs one of the commands.
struct NextStep: Equatable, Encodable {
  let text: String
  /// Each as it is typed.
  let commands: [String]

  init(_ text: String, _ commands: [String] = []) {
    self.text = text
    self.commands = commands
  }

  /// - Parameters:
  ///   - words: the batch.
  ///   - again: the options of this command line that name the queue, as the next one takes them.
  ///   - config: the option that names a file, for a command that takes no other.
  static func of(_ words: ExplanationWords, again: String, config: String) -> NextStep {
    let found = words.found
    func command(_ text: String) -> String { "batchd \(text)\(again)" }
    switch found.whereabouts {
    case .unknown where found.hasEnvelopeOnly:
      return NextStep(
        "within a minute a worker counts it as failed; the doctor enqueues its envelope again",
        [command("doctor --repair")])
    case .unknown where found.unseenEntries > 0:
      return NextStep(
        found.workers == 0
          ? "if it was enqueued, it waits there until a worker starts"
          : "if it was enqueued, a worker admits it after those before it",
        [command("status")] + (found.workers == 0 ? ["batchd work\(config)"] : []))
    case .unknown:
      return NextStep(
        "nothing: it was never enqueued here, or its retention is over; the results store may still know it",
        ["batchd history \(found.id)\(config)", command("status")])
    case .enqueued:
      return found.workers == 0
        ? NextStep("it waits until a worker starts", ["batchd work\(config)"])
        : NextStep("a worker admits it within a second, unless Redis is full", [command("status")])
    case .rejected: return rejected(found, command)
    case .ended: return ended(found, command)
    case .leased: return leased(words, command, config)
    case .adrift:
      return NextStep(
        found.workers == 0
          ? "a worker puts it back once one runs, or the doctor at once"
          : "a worker puts it back within minutes, or the doctor at once",
        [command("doctor --repair")])
    case .queue where found.isInNoList && found.takenBy == nil:
      return NextStep(
        "a worker takes it out of its intake at once, or puts it back into the list within a minute or two",
        [command("explain \(found.id)")])
    case .queue where found.takenBy != nil:
      return NextStep(
        "its worker leases it within milliseconds; if that is dead, another puts it back half a minute after it was last heard",
        [command("status")])
    case .queue, .lane, .suspects, .delayed: return waiting(words, command, config)
    }
  }

  private static func rejected(_ found: Explanation, _ command: (String) -> String) -> NextStep {
    guard let position = found.rejection?.position else {
      return NextStep("nothing: mend the entry and enqueue it again", [command("rejected")])
    }
    return NextStep(
      "nothing: mend the entry and enqueue it again; or have this one tried again, when what it lacked is there now",
      [command("rejected show \(position)"), command("rejected reenter \(position)")])
  }

  private static func ended(_ found: Explanation, _ command: (String) -> String) -> NextStep {
    switch found.batch?.status {
    case "completed":
      return NextStep("nothing: it is done; to do all of it again, enqueue it with \"rerun\":true")
    case "completed_with_errors":
      return NextStep(
        "nothing by itself; once their cause is mended, the failed items can run again",
        [command("retry \(found.id)")])
    case "cancelled":
      return NextStep(
        "nothing by itself; it can go on where it was", [command("retry \(found.id)")])
    default:
      return NextStep(
        "nothing by itself; once the cause is mended, its unfinished items can run again",
        [command("retry \(found.id)")])
    }
  }

  private static func leased(
    _ words: ExplanationWords, _ command: (String) -> String, _ config: String
  ) -> NextStep {
    let found = words.found
    let isAlive = found.worker?.state == .alive
    if isAlive && !found.isOverdue {
      if found.isCancelling { return NextStep("it ends as cancelled within seconds") }
      let pause = found.paused.joined(separator: " and ")
      return NextStep(
        pause.isEmpty
          ? "its worker goes on with it, and renews the lease every few seconds"
          : "its worker goes on to the end of the stage; then nothing until \(pause) is resumed",
        found.paused.map { command("resume \($0)") })
    }
    let after =
      found.isCancelling
      ? "it ends as cancelled"
      : "it becomes a suspect and runs alone, from its last checkpoint"
        + (words.maxCrashes.map { "; crash \($0) of it would fail it" } ?? "")
    guard found.workers > (isAlive ? 1 : 0) else {
      let back = isAlive ? " or this one is heard again" : ""
      return NextStep(
        "nothing until a worker starts\(back), for no other is running; then \(after)",
        ["batchd work\(config)"])
    }
    let moment = ExplanationWords.when(found.leaseExpiresAt ?? 0, now: found.takenAt)
    return NextStep(
      "\(found.isOverdue ? "within seconds" : "at \(moment)") another worker ends the lease: \(after)"
    )
  }

  private static func waiting(
    _ words: ExplanationWords, _ command: (String) -> String, _ config: String
  ) -> NextStep {
    let found = words.found
    let list = "\(found.batch?.pipeline ?? ""):\(found.batch?.stage ?? "")"
    let resume = found.paused.map { command("resume \($0)") }
    let isStopped = !found.paused.isEmpty
    let then =
      isStopped
      ? "nothing until \(found.paused.joined(separator: " and ")) is resumed"
      : found.serving.isEmpty ? "nothing until a worker that serves \(list) starts" : nil
    let start = found.serving.isEmpty ? ["batchd work\(config)"] : []
    switch found.whereabouts {
    case .lane:
      guard let holder = found.holder else {
        return NextStep(
          then ?? "a worker hands the lane on within minutes, or the doctor at once",
          resume + start + (isStopped ? [] : [command("doctor --repair")]))
      }
      let turn =
        found.ahead == 0
        ? "it is its turn" : "the next in the lane goes on; this one after those before it"
      return NextStep(
        "when \(holder.batch.id) ends, \(turn)" + (then.map { "; then \($0)" } ?? ""),
        [command("explain \(holder.batch.id)")] + resume + start)
    case .delayed:
      let moment = ExplanationWords.when(found.dueAt ?? 0, now: found.takenAt)
      let lane = found.holder.map { ", behind \($0.batch.id) in its lane" } ?? ""
      let clock = found.workers == 0 ? " (by a worker: none is running)" : ""
      return NextStep(
        "at \(moment) it enters the list of \(list)\(lane)\(clock)"
          + (then.map { "; then \($0)" } ?? ""), resume + start)
    case .suspects:
      return NextStep(
        then
          ?? "a worker runs it alone, from its last checkpoint"
          + (words.maxCrashes.map { "; crash \($0) would fail it" } ?? ""), resume + start)
    default:
      return NextStep(
        then
          ?? (found.runningCount > 0
            ? "a worker takes it when a slot of \(list) is free and it is its turn"
            : "a worker takes it within milliseconds"),
        resume + start)
    }
  }

  /// Of an operation.
  static func of(_ found: OperationExplanation, again: String, config: String) -> NextStep {
    let progress = found.progress
    func command(_ text: String) -> String { "batchd \(text)\(again)" }
    let look = progress.failed > 0 ? [command("failed --operation \(progress.operation)")] : []
    if progress.isFinished {
      return NextStep("nothing: it is finished; a retry would open it again", look)
    }
    let rejected = found.rejections.isEmpty ? [] : [command("rejected")]
    guard let first = found.inTheWay.first else {
      return NextStep(
        "it ends when \(Wording.count(found.missing, "more batch is", "more batches are")) admitted and done; nothing of it is under way",
        rejected + look)
    }
    let resume = found.paused.map { command("resume \($0)") }
    let start = found.workers == 0 ? ["batchd work\(config)"] : []
    return NextStep(
      found.workers == 0
        ? "nothing until a worker starts, for none is running"
        : found.paused.isEmpty
          ? "its batches go on; why one of them waits is told by its own explanation"
          : "nothing of what is paused until it is resumed",
      start + resume + [command("explain \(first.batch.id)")] + rejected + look)
  }
}
