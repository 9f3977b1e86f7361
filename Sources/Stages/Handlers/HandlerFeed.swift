import Pipeline
import Worker

/// Runs a stage job by calls of a handler outside of this program, and keeps what they report.
struct HandlerFeed: Sendable {
  /// Calls in a row that failed, after which the handler counts as down and the attempt ends.
  static let maximumFailures = 5
  /// Times in a row that a handler may ask to be left alone before that costs an attempt: waiting is free, but not
  /// for ever.
  static let maximumBusy = 10

  /// Calls the handler; what it reports is given on in the order of its arrival, at most 100 lines at a time.
  typealias Call = (HandlerCall, ([HandlerLine]) async throws -> Void) async throws -> HandlerEnd

  let gate: GateRule?
  let feed: Feed
  /// Those of the stage's `RetryPolicy`: on the last attempt, what still fails fails alone.
  let retries: Int

  func run(_ job: StageJob, _ context: StageContext, _ call: Call) async throws -> JSON? {
    if feed == .batch || (job.itemCount ?? 0) == 0 { return try await whole(job, context, call) }
    try await each(job, context, call)
    return nil
  }

  // MARK: All items in one call

  private func whole(
    _ job: StageJob, _ context: StageContext, _ call: Call
  ) async throws -> JSON? {
    try await take(job, context)
    var open: [String: String] = [:]
    var unmentioned = Set(job.items.map(\.id))
    var output: JSON?
    let end = try await call(HandlerCall(job, inputs: HandlerInputs(context))) { lines in
      var results: [String: ItemResult] = [:]
      for line in lines {
        switch line {
        case .item(let id, let result): results[id] = result
        case .retry(let id, let error): open[id] = error
        case .output(let value): output = value
        }
      }
      unmentioned.subtract(results.keys)
      if !results.isEmpty { try await context.checkpoint(results) }
    }
    try await closeGate(end, job, context)
    switch end.verdict {
    case .done: break
    case .retry(let text, let delay): throw StageError.retry(text, afterMilliseconds: delay)
    case .permanent(let text): throw StageError.permanent(text)
    }
    if !open.isEmpty {
      // The handler ended well, so what it did not mention is done: not to be done again for the others' sake.
      let done = unmentioned.subtracting(open.keys)
      try await checkpoint(done.map { ($0, .done(.null)) }, context)
      try await settle(open, job, context)
    }
    return output
  }

  // MARK: Each item in a call of its own

  private func each(_ job: StageJob, _ context: StageContext, _ call: Call) async throws {
    var open: [String: String] = [:]
    var failures = 0
    var busy = BusyCount(job)
    var rest = job.items[...]
    while let item = rest.first {
      do {
        try await take(job, context)
      } catch StageError.snooze(_, let delay) where !open.isEmpty {
        // Something has failed, and that costs an attempt, whatever it was that came in between.
        throw StageError.retry(HandlerLine.summary(ofRetries: open), afterMilliseconds: delay)
      }
      let (end, line) = try await one(item, job, context, call)
      if let milliseconds = end.busyMilliseconds, case .retry(let text, _) = end.verdict {
        try await closeGate(end, job, context)
        guard gate != nil, try await busy.raise(context) else {
          throw StageError.retry(text, afterMilliseconds: milliseconds)
        }
        continue
      }
      rest.removeFirst()
      switch line {
      case .item(let id, let result):
        failures = 0
        try await context.checkpoint([id: result], cursor: busy.clear())
      case .retry(let id, let error):
        open[id] = error
        failures += 1
        if failures == Self.maximumFailures {
          throw StageError.retry("\(failures) calls failed in a row, the last: \(error)")
        }
      case .output: preconditionFailure("the output of an item alone is the item's")
      }
    }
    if !open.isEmpty { try await settle(open, job, context) }
  }

  /// Hands one item over. What it reports counts only when the call ends well.
  private func one(
    _ item: Item, _ job: StageJob, _ context: StageContext, _ call: Call
  ) async throws -> (HandlerEnd, HandlerLine) {
    var line = HandlerLine.item(item.id, .done(.null))
    let inputs = HandlerInputs(context, item: item.id)
    let end = try await call(HandlerCall(job.only(item), inputs: inputs)) { line = $0.last ?? line }
    switch end.verdict {
    case .done: break
    case .retry(let text, _): line = .retry(item.id, error: text)
    case .permanent(let text): line = .item(item.id, .failed(text))
    }
    return (end, line)
  }

  // MARK: Both

  private func take(_ job: StageJob, _ context: StageContext) async throws {
    guard let gate else { return }
    try await context.take(
      gate: gate.key(of: job), intervalMilliseconds: gate.intervalMilliseconds)
  }

  private func closeGate(
    _ end: HandlerEnd, _ job: StageJob, _ context: StageContext
  ) async throws {
    guard let gate, let milliseconds = end.busyMilliseconds else { return }
    try await context.close(
      gate: gate.key(of: job),
      forMilliseconds: max(milliseconds, gate.intervalMilliseconds),
      reason: "\(end.status ?? 0) from \(job.pipeline):\(job.stage.rawValue)")
  }

  private func checkpoint(
    _ results: [(String, ItemResult)], _ context: StageContext
  ) async throws {
    for some in results.chunks() {
      try await context.checkpoint(Dictionary(uniqueKeysWithValues: some))
    }
  }

  /// What becomes of the items that another attempt may bring.
  /// - Throws: `StageError.retry` while there is one, or when they are all there is.
  private func settle(
    _ open: [String: String], _ job: StageJob, _ context: StageContext
  ) async throws {
    let hasOthers = (job.itemCount ?? job.items.count) > open.count
    guard job.attempt > retries, hasOthers else {
      throw StageError.retry(HandlerLine.summary(ofRetries: open))
    }
    let given = open.map {
      ($0.key, ItemResult.failed("given up after \(job.attempt) attempts: \($0.value)"))
    }
    try await checkpoint(given, context)
  }
}

/// How often in a row a handler asked to be left alone, over attempts and snoozes.
private struct BusyCount {
  private var count: Int

  init(_ job: StageJob) {
    guard case .integer(let count)? = job.cursor?["busy"] else {
      self.count = 0
      return
    }
    self.count = Int(min(max(count, 0), Int64(HandlerFeed.maximumBusy)))
  }

  /// - Returns: whether waiting for it is still free.
  mutating func raise(_ context: StageContext) async throws -> Bool {
    let isFree = count + 1 < HandlerFeed.maximumBusy
    count = isFree ? count + 1 : 0
    try await context.checkpoint([:], cursor: .object(["busy": .integer(Int64(count))]))
    return isFree
  }

  /// - Returns: the cursor to store, if it is another one now.
  mutating func clear() -> JSON? {
    guard count > 0 else { return nil }
    count = 0
    return .object([:])
  }
}
