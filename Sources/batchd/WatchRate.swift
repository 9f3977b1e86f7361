internal import Queue

/// How fast an operation moves, over the last seconds of this process's monotonic clock.
struct WatchRate {
  private struct Sample {
    let at: ContinuousClock.Instant
    let done: Int
  }

  /// Long enough for one item a second, short enough to see a stop.
  private static let window = Duration.seconds(20)
  private var samples: [Sample] = []

  /// Items that ended, or batches where there are no items.
  static func done(_ progress: OperationProgress) -> Int {
    progress.itemsTotal > 0 ? progress.itemsDone + progress.itemsFailed : progress.ended
  }

  /// What `done` grows to.
  static func total(_ progress: OperationProgress) -> Int {
    progress.itemsTotal > 0 ? progress.itemsTotal : max(progress.total, progress.size ?? 0)
  }

  mutating func note(_ progress: OperationProgress, at now: ContinuousClock.Instant) {
    let done = Self.done(progress)
    // A retry or rerun counts back: what was measured before it says nothing.
    if let last = samples.last, done < last.done { samples = [] }
    samples.append(Sample(at: now, done: done))
    while samples.count > 2, now - samples[1].at >= Self.window { samples.removeFirst() }
  }

  /// nil until there is something to measure.
  var itemsPerSecond: Double? {
    guard let first = samples.first, let last = samples.last, last.at - first.at >= .seconds(1)
    else { return nil }
    return Double(last.done - first.done) / ((last.at - first.at) / .seconds(1))
  }

  /// nil when it stands still or has ended.
  func remainingSeconds(_ progress: OperationProgress) -> Int? {
    guard !progress.isFinished, let rate = itemsPerSecond, rate > 0 else { return nil }
    return Int((Double(Self.total(progress) - Self.done(progress)) / rate).rounded(.up))
  }
}
