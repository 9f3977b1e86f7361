internal import CoreMetrics
internal import Glibc
internal import Queue
import Synchronization

/// A number that many tasks raise at once.
private final class Tally: Sendable {
  let value = Atomic(0)
}

/// A counter of swift-metrics whose value goes to Redis with the beat, and to the factory that the program has
/// bootstrapped, if it has.
final class CounterSeries: CounterHandler {
  private let tally = Tally()
  private let other: (any CounterHandler)?

  init(_ name: String, _ labels: [String: String]) {
    other = MetricsSystem.other?.makeCounter(label: name, dimensions: labels.dimensions)
  }

  var value: Int { tally.value.load(ordering: .relaxed) }

  func increment(by amount: Int64) {
    tally.value.wrappingAdd(Int(amount), ordering: .relaxed)
    other?.increment(by: amount)
  }

  func reset() {
    tally.value.store(0, ordering: .relaxed)
    other?.reset()
  }
}

/// The same of times, counted in buckets.
final class HistogramSeries: TimerHandler {
  /// From what a stage that does nothing takes to what a model takes for a batch of images.
  private static let bounds: [(text: String, nanoseconds: Int64)] = [
    ("0.001", 1_000_000), ("0.005", 5_000_000), ("0.025", 25_000_000), ("0.1", 100_000_000),
    ("0.5", 500_000_000), ("1.0", 1_000_000_000), ("2.5", 2_500_000_000),
    ("10.0", 10_000_000_000), ("30.0", 30_000_000_000), ("120.0", 120_000_000_000),
    ("600.0", 600_000_000_000), ("3600.0", 3_600_000_000_000), ("+Inf", .max),
  ]

  private let tallies = bounds.map { _ in Tally() }
  private let sum = Tally()
  private let other: (any TimerHandler)?

  init(_ name: String, _ labels: [String: String]) {
    other = MetricsSystem.other?.makeTimer(label: name, dimensions: labels.dimensions)
  }

  var value: MetricSeries.Histogram {
    var count = 0
    let buckets = zip(Self.bounds, tallies).map { bound, tally in
      count += tally.value.load(ordering: .relaxed)
      return MetricSeries.Histogram.Bucket(bound: bound.text, count: count)
    }
    return .init(
      buckets: buckets, sum: Double(sum.value.load(ordering: .relaxed)) / 1_000_000_000)
  }

  func recordNanoseconds(_ duration: Int64) {
    let bucket = Self.bounds.firstIndex { duration <= $0.nanoseconds } ?? 0
    tallies[bucket].value.wrappingAdd(1, ordering: .relaxed)
    sum.value.wrappingAdd(Int(max(0, duration)), ordering: .relaxed)
    other?.recordNanoseconds(duration)
  }
}

extension MetricsSystem {
  /// What the program has bootstrapped: an own one records beside what the worker publishes.
  fileprivate static var other: (any MetricsFactory)? {
    let factory = factory
    return factory is NOOPMetricsHandler ? nil : factory
  }
}

extension [String: String] {
  fileprivate var dimensions: [(String, String)] {
    sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
  }
}

/// A moment, cheaper to take and to subtract than `ContinuousClock`'s.
struct Stopwatch {
  private let start = Self.now

  var nanoseconds: Int { Self.now - start }

  private static var now: Int {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return time.tv_sec * 1_000_000_000 + time.tv_nsec
  }
}
