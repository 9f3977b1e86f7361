internal import Pipeline
internal import Queue

/// How fast an operation and its accounts move, and when they will be done.
///
/// Accounts work side by side, so an operation takes as long as the slowest of them. What is ahead of an account are its own
/// items and those of others before them in its lane, each one request.
struct WatchPace {
  /// What is known of the time that something takes.
  enum Remaining: Equatable {
    /// Seconds.
    case about(Int)
    case unknown
    /// Seconds since anything happened, although nothing is waited for.
    case stalled(Int)
  }

  /// Beyond the longest pause of an ordinary item.
  private static let patienceMilliseconds = 20_000
  /// What a gate adds to its interval by default.
  private static let gateMarginMilliseconds = 15

  private var whole = WatchRate()
  private var accounts: [String: WatchRate] = [:]

  // MARK: what counts

  /// Items that ended, or batches where there are no items.
  static func done(_ progress: OperationProgress) -> Int {
    progress.itemsTotal > 0 ? progress.itemsDone + progress.itemsFailed : progress.ended
  }

  /// What `done` grows to.
  static func total(_ progress: OperationProgress) -> Int {
    progress.itemsTotal > 0 ? progress.itemsTotal : max(progress.total, progress.size ?? 0)
  }

  static func done(_ account: AccountState) -> Int {
    account.itemsTotal > 0 ? account.itemsDone + account.itemsFailed : account.ended
  }

  static func total(_ account: AccountState) -> Int {
    account.itemsTotal > 0 ? account.itemsTotal : account.total
  }

  // MARK: measuring

  mutating func note(
    _ progress: OperationProgress, _ detail: OperationDetail?, at now: ContinuousClock.Instant
  ) {
    whole.note(Self.done(progress), at: now)
    for account in detail?.accounts ?? [] where !account.isFinished {
      accounts[account.account, default: WatchRate()].note(Self.done(account), at: now)
    }
  }

  var perSecond: Double? { whole.perSecond }

  func perSecond(_ account: AccountState) -> Double? { accounts[account.account]?.perSecond }

  // MARK: what is left

  /// - Parameter now: Unix milliseconds by Redis's clock.
  func remaining(_ account: AccountState, now: Int) -> Remaining {
    let wait = max((account.dueAt ?? 0) - now, (account.gateOpensAt ?? 0) - now, 0)
    let isHindered = wait > 0 || account.laneHolder != nil || !account.isRunning
    let quiet = Self.milliseconds(since: account.changedAt, now)
    if account.isRunning, !isHindered, quiet > Self.patienceMilliseconds {
      return .stalled(quiet / 1000)
    }
    let ahead =
      Self.total(account) - Self.done(account)
      + (account.itemsTotal > 0 ? account.itemsAhead : account.batchesAhead)
    guard ahead > 0 else { return .about(wait / 1000) }
    var rate = perSecond(account) ?? 0
    if rate == 0, account.itemsTotal > 0, let interval = account.gateIntervalMilliseconds,
      interval > 0
    {
      rate = 1000 / Double(interval + Self.gateMarginMilliseconds)
    }
    guard rate > 0 else { return wait > 0 ? .about(wait / 1000) : .unknown }
    return .about(Self.seconds(Double(wait) / 1000 + Double(ahead) / rate))
  }

  /// nil once it has ended.
  func remaining(
    _ progress: OperationProgress, _ detail: OperationDetail?, now: Int
  ) -> Remaining? {
    guard !progress.isFinished else { return nil }
    let quiet = Self.milliseconds(since: detail?.changedAt ?? progress.updatedAt, now)
    let living = (detail?.accounts ?? []).filter { !$0.isFinished }
    let isWaiting = living.contains { ($0.dueAt ?? 0) > now || ($0.gateOpensAt ?? 0) > now }
    if progress.processing > 0, !isWaiting, quiet > Self.patienceMilliseconds {
      return .stalled(quiet / 1000)
    }
    var greatest = 0
    // Batches without an account, or without a record that was looked at.
    var isMeasured =
      detail?.isWhole == true
      && (detail?.accounts.reduce(0) { $0 + $1.total } ?? 0) == progress.total
    for account in living {
      switch remaining(account, now: now) {
      case .about(let seconds): greatest = max(greatest, seconds)
      case .unknown: isMeasured = false
      case .stalled: return .unknown
      }
    }
    if isMeasured { return .about(greatest) }
    guard let rate = perSecond, rate > 0 else { return .unknown }
    let own = Double(Self.total(progress) - Self.done(progress)) / rate
    return .about(max(greatest, Self.seconds(own)))
  }

  /// Rounded up; what would never end ends very late.
  private static func seconds(_ value: Double) -> Int { Int(min(value, 1e14).rounded(.up)) }

  private static func milliseconds(since moment: String?, _ now: Int) -> Int {
    guard let moment = moment.flatMap(Timestamp.init(rfc3339:)) else { return 0 }
    return now - Int(moment.milliseconds)
  }
}
