internal import CoreMetrics
internal import Pipeline
internal import Queue
import Synchronization

/// What one worker measures through swift-metrics, and what of it Redis does not know yet. The series are those of the
/// stages that it serves and of the pipelines whose ends it writes: their number is bounded.
final class WorkerMetrics: Sendable {
  private enum Published {
    case counter(CounterSeries)
    case histogram(HistogramSeries)
  }

  private struct Series {
    let field: String
    /// Of stage jobs.
    let outcome: String?
    let published: Published

    init(_ name: WorkerMetric, _ labels: [String: String], _ published: Published) {
      field = MetricSeries.field(name.rawValue, labels)
      outcome = name == .stageJobs ? labels["outcome"] : nil
      self.published = published
    }
  }

  private struct State {
    var series: [Series] = []
    var batches: [String: BatchMetrics] = [:]
    /// The text of each series that Redis has, and of those that the beat under way tells it.
    var known: [Int: String] = [:]
    var told: [Int: String] = [:]
    var registrations = 0
  }

  /// More pipelines than this share their series.
  private static let mostPipelines = 100

  let stages: [StageList: StageMetrics]
  private let state: Mutex<State>

  init(_ lists: [StageList]) {
    var state = State()
    stages = lists.reduce(into: [:]) { stages, list in
      stages[list] = StageMetrics(list) { name, labels in
        Self.counter(name, labels, &state)
      } timer: { name, labels in
        Self.timer(name, labels, &state)
      }
    }
    self.state = Mutex(state)
  }

  private static func counter(
    _ name: WorkerMetric, _ labels: [String: String], _ state: inout State
  ) -> Counter {
    let series = CounterSeries(name.rawValue, labels)
    state.series.append(Series(name, labels, .counter(series)))
    return Counter(label: name.rawValue, dimensions: [], handler: series)
  }

  private static func timer(
    _ name: WorkerMetric, _ labels: [String: String], _ state: inout State
  ) -> Timer {
    let series = HistogramSeries(name.rawValue, labels)
    state.series.append(Series(name, labels, .histogram(series)))
    return Timer(label: name.rawValue, dimensions: [], handler: series)
  }

  /// Measures runs whose end this worker has written into the history: whoever decided it, each is told once.
  func count(_ ended: [EndedBatch]) {
    state.withLock { state in
      for batch in ended { Self.metrics(of: batch.pipeline, &state).count(batch) }
    }
  }

  private static func metrics(of pipeline: String, _ state: inout State) -> BatchMetrics {
    if let known = state.batches[pipeline] { return known }
    if state.batches.count >= mostPipelines, pipeline != "other" {
      return metrics(of: "other", &state)
    }
    let metrics = BatchMetrics(pipeline) { timer($0, $1, &state) }
    state.batches[pipeline] = metrics
    return metrics
  }

  /// What all stages did together, as a person reads it in the worker's hash.
  private var totals: [(field: String, value: String)] {
    let counts = state.withLock { state in
      state.series.reduce(into: [String: Int]()) { counts, series in
        guard case .counter(let counter) = series.published, let outcome = series.outcome else {
          return
        }
        counts[outcome, default: 0] += counter.value
      }
    }
    return StageMetrics.Outcome.allCases.map { ($0.name, "\(counts[$0.name] ?? 0)") }
  }

  /// The fields that a beat tells Redis: the totals, and each series that has changed since the last answer. A counter is
  /// told from the beginning, for a rate needs its zero; a histogram from its first value.
  /// - Parameter registrations: after another one Redis knows nothing.
  func fields(registrations: Int) -> [(field: String, value: String)] {
    totals + changes(registrations: registrations)
  }

  private func changes(registrations: Int) -> [(field: String, value: String)] {
    state.withLock { state in
      if registrations != state.registrations {
        state.known = [:]
        state.registrations = registrations
      }
      state.told = [:]
      for (at, series) in state.series.enumerated() {
        let text: String
        switch series.published {
        case .counter(let counter): text = "\(counter.value)"
        case .histogram(let histogram):
          let value = histogram.value
          guard value.count > 0 else { continue }
          text = value.text
        }
        if state.known[at] != text { state.told[at] = text }
      }
      return state.told.sorted { $0.key < $1.key }.map { (state.series[$0.key].field, $0.value) }
    }
  }

  /// Redis has answered: it knows what `fields` named last.
  func noteAnswer() { state.withLock { $0.known.merge($0.told) { $1 } } }
}

/// Of one stage. A class: a reference goes with each stage job.
final class StageMetrics: Sendable {
  typealias Make<Metric> = (WorkerMetric, [String: String]) -> Metric

  /// How an attempt ended.
  enum Outcome: Int, CaseIterable {
    case finished, failed, retried, snoozed, handedBack, lost, cancelled

    var name: String { self == .handedBack ? "handed_back" : "\(self)" }
  }

  /// In the order of the cases.
  private let outcomes: [Counter]
  let time: Timer
  let itemsDone: Counter
  let itemsFailed: Counter
  let gateTime: Timer
  let gateRefusals: Counter

  init(_ list: StageList, counter: Make<Counter>, timer: Make<Timer>) {
    let labels = ["pipeline": list.pipeline, "stage": list.stage.rawValue]
    func and(_ outcome: String) -> [String: String] {
      labels.merging(["outcome": outcome]) { $1 }
    }
    outcomes = Outcome.allCases.map { counter(.stageJobs, and($0.name)) }
    time = timer(.stageTime, labels)
    itemsDone = counter(.items, and("done"))
    itemsFailed = counter(.items, and("failed"))
    gateTime = timer(.gateTime, labels)
    gateRefusals = counter(.gateRefusals, labels)
  }

  func count(_ outcome: Outcome) { outcomes[outcome.rawValue].increment() }
}

/// Of the ended runs of one pipeline.
private final class BatchMetrics: Sendable {
  private let times: [String: Timer]
  private let wait: Timer

  init(_ pipeline: String, timer: StageMetrics.Make<Timer>) {
    times = Dictionary(
      uniqueKeysWithValues: EndedBatch.statuses.map {
        ($0, timer(.batchTime, ["pipeline": pipeline, "status": $0]))
      })
    wait = timer(.batchWait, ["pipeline": pipeline])
  }

  func count(_ batch: EndedBatch) {
    // One that never started took no time.
    guard let start = batch.startedAt else { return }
    let time = batch.finishedAt.milliseconds - start.milliseconds
    times[batch.status]?.recordMilliseconds(max(0, time))
    wait.recordMilliseconds(max(0, start.milliseconds - batch.admittedAt.milliseconds))
  }
}
