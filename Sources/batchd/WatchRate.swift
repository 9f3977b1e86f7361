/// How fast something moves, over the last seconds of this process's monotonic clock.
struct WatchRate {
  private struct Sample {
    let at: ContinuousClock.Instant
    let done: Int
  }

  /// Long enough for one item a second, short enough to see a stop.
  private static let window = Duration.seconds(20)
  private var samples: [Sample] = []

  /// - Parameter done: what has been done since it began: items, or batches where there are none.
  mutating func note(_ done: Int, at now: ContinuousClock.Instant) {
    // A retry or rerun counts back: what was measured before it says nothing.
    if let last = samples.last, done < last.done { samples = [] }
    samples.append(Sample(at: now, done: done))
    while samples.count > 2, now - samples[1].at >= Self.window { samples.removeFirst() }
  }

  /// nil until there is something to measure.
  var perSecond: Double? {
    guard let first = samples.first, let last = samples.last, last.at - first.at >= .seconds(1)
    else { return nil }
    return Double(last.done - first.done) / ((last.at - first.at) / .seconds(1))
  }
}
