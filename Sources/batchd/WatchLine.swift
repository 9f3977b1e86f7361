internal import Queue

/// The lines of `watch --json`, each with its `type`.
enum WatchLine {
  /// How far an operation is, with its accounts and stages.
  struct Progress: Encodable {
    let type = "progress"
    let progress: OperationProgress
    let detail: OperationDetail
    let pace: WatchPace
    /// Unix milliseconds by Redis's clock.
    let now: Int

    private enum Key: String, CodingKey {
      case type, itemsPerSecond, remainingSeconds, stalledSeconds, accounts, stages, seen, isWhole
    }

    func encode(to encoder: any Encoder) throws {
      try progress.encode(to: encoder)
      var values = encoder.container(keyedBy: Key.self)
      try values.encode(type, forKey: .type)
      try values.encodeIfPresent(pace.perSecond, forKey: .itemsPerSecond)
      switch pace.remaining(progress, detail, now: now) {
      case .about(let seconds): try values.encode(seconds, forKey: .remainingSeconds)
      case .stalled(let seconds): try values.encode(seconds, forKey: .stalledSeconds)
      default: break
      }
      let accounts = detail.accounts.map { Account(account: $0, pace: pace, now: now) }
      try values.encode(accounts, forKey: .accounts)
      try values.encode(detail.stages, forKey: .stages)
      try values.encode(detail.seen, forKey: .seen)
      try values.encode(detail.isWhole, forKey: .isWhole)
    }
  }

  private struct Account: Encodable {
    let account: AccountState
    let pace: WatchPace
    let now: Int

    private enum Key: String, CodingKey { case itemsPerSecond, remainingSeconds, stalledSeconds }

    func encode(to encoder: any Encoder) throws {
      try account.encode(to: encoder)
      guard !account.isFinished else { return }
      var values = encoder.container(keyedBy: Key.self)
      try values.encodeIfPresent(pace.perSecond(account), forKey: .itemsPerSecond)
      switch pace.remaining(account, now: now) {
      case .about(let seconds): try values.encode(seconds, forKey: .remainingSeconds)
      case .stalled(let seconds): try values.encode(seconds, forKey: .stalledSeconds)
      case .unknown: break
      }
    }
  }

  /// A state change.
  struct Event: Encodable {
    let type = "event"
    let event: String
    let batch: String?
    let operation: String?
    let stage: String?
    let at: String?
    let details: [String: String]
    let error: String?
    let itemErrors: [String: String]

    init(_ entry: Watcher.Change) {
      let change = entry.change
      (event, batch, operation) = (change.event, change.batch, change.operation)
      (stage, at, details) = (change.stage, change.at, change.details)
      (error, itemErrors) = (entry.batch?.error, entry.itemErrors)
    }
  }

  /// Redis is away, and then (without an error) back.
  struct Problem: Encodable {
    let type = "redis"
    let error: String?
  }

  /// More events came at once than Redis keeps: some are missing here.
  struct Skipped: Encodable {
    let type = "skipped"
  }
}
