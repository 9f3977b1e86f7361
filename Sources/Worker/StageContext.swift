internal import Coordination
internal import CoreMetrics
public import Logging
public import Pipeline
internal import Queue
internal import Redis
public import Stores

/// What a handler may do while it holds the lease of its job.
public struct StageContext: Sendable {
  let runner: JobRunner
  let claim: Claim
  let held: HeldLease
  let items: Set<String>

  private var queue: Queue { runner.queue }
  private var configuration: WorkerConfiguration { runner.configuration }

  /// Names batch, pipeline, stage, attempt and account in each of its lines.
  public var logger: Logger {
    var logger = runner.logger
    for (name, value) in claim.metadata { logger[metadataKey: name] = value }
    return logger
  }

  /// Where results go. Ask for it anew before each write.
  /// - Throws: `CancellationError` when the lease's local deadline has passed: its fence would still be good in
  ///   the store, until somebody else raises a greater one.
  public var store: any ResultsStore {
    get throws {
      try held.require()
      return runner.store
    }
  }

  /// The outputs of the items in an earlier stage, by item id.
  public func outputs(of stage: Stage) async throws -> [String: JSON] {
    try await queue.outputs(of: claim.lease.batch, stage: stage)
  }

  /// The items that have an output in an earlier stage, sorted.
  public func outputIDs(of stage: Stage) async throws -> [String] {
    try await queue.outputIDs(of: claim.lease.batch, stage: stage)
  }

  /// The outputs of some items in an earlier stage as JSON text, in the order of `items`; nil where there is none.
  /// For outputs that shall not be in memory all at once: ask for few at a time.
  public func outputs(of stage: Stage, items: [String]) async throws -> [[UInt8]?] {
    try await queue.outputs(of: claim.lease.batch, stage: stage, items: items)
  }

  /// The stage's own output of an earlier stage.
  public func output(of stage: Stage) async throws -> JSON? {
    try await queue.output(of: claim.lease.batch, stage: stage)
  }

  /// Records item results, the cursor and new batches in one atomic step; also renews the lease. Only of results with more
  /// than some MiB of outputs the greater part comes before that step.
  ///
  /// - Parameters:
  ///   - cursor: handed to the next attempt as `job.cursor`.
  ///   - children: envelopes (JSON objects as for `batchd:enqueue`, with deterministic ids) admitted in the same step.
  /// - Throws: `CancellationError` when the lease was lost or the batch cancelled; `StageError.permanent` for an item
  ///   that is not the job's or an output over the limit.
  public func checkpoint(
    _ results: [String: ItemResult], cursor: JSON? = nil, children: [JSON] = []
  ) async throws {
    for item in results.keys where !items.contains(item) {
      throw StageError.permanent(
        "the handler reported item \"\(item)\", which is not to be done; report the job's items only"
      )
    }
    var parts = parts(of: bounded(results))
    let last = parts.removeLast()
    // Items first: what the cursor and the children build on is there before them.
    for part in parts { try await keep(part, cursor: nil, children: []) }
    try await keep(last, cursor: cursor, children: children)
  }

  /// Outputs of one call: it keeps Redis from everybody else.
  private static let callBytes = 4 << 20

  /// The results in parts that one call may bring; at least one.
  private func parts(of results: [String: ItemResult]) -> [[String: ItemResult]] {
    var parts: [[String: ItemResult]] = [[:]]
    var bytes = 0
    for (item, result) in results {
      if case .done(let output) = result { bytes += output.bytes.count }
      if bytes > Self.callBytes, !parts[parts.count - 1].isEmpty {
        parts.append([:])
        bytes = 0
      }
      parts[parts.count - 1][item] = result
    }
    return parts
  }

  private func keep(
    _ results: [String: ItemResult], cursor: JSON?, children: [JSON]
  ) async throws {
    let sent = ContinuousClock.now
    let state = try await queue.checkpoint(
      claim, results, cursor: cursor, children: children,
      leaseMilliseconds: configuration.leaseMilliseconds)
    switch state {
    case .held:
      held.renewed(sent: sent)
      count(results)
      if !results.isEmpty || !children.isEmpty { runner.noteProgress(under: held) }
    case .lost, .cancelled:
      held.cancel(state == .lost ? .lost : .cancelled)
      throw CancellationError()
    }
  }

  private func count(_ results: [String: ItemResult]) {
    guard !results.isEmpty else { return }
    let done = results.values.count { if case .done = $0 { true } else { false } }
    if done > 0 { held.metrics.itemsDone.increment(by: done) }
    if done < results.count { held.metrics.itemsFailed.increment(by: results.count - done) }
  }

  private func bounded(_ results: [String: ItemResult]) -> [String: ItemResult] {
    guard let limit = runner.definitions[claim.list]?.outputBytes else { return results }
    let bound = OutputBound(bytes: limit)
    return results.mapValues { bound.bounded($0) }
  }

  /// Waits for a permission of the gate `name` to send one request now. Ask before *every* request.
  /// - Throws: `StageError.snooze` when the gate is closed for longer than a wait is worth a slot,
  ///   or Redis too slow for it: neither is the batch's fault.
  public func take(gate name: String, intervalMilliseconds: Int) async throws {
    let passage: Gate.Passage
    let watch = Stopwatch()
    do {
      passage = try await gate(name, intervalMilliseconds: intervalMilliseconds).pass()
    } catch let error as RedisError where [.deadlineExceeded, .closed].contains(error.code) {
      // Closed: this worker ends, and is done already where the gate is.
      throw StageError.snooze(error.message, milliseconds: 1_000)
    }
    switch passage {
    case .open:
      held.metrics.gateTime.recordNanoseconds(watch.nanoseconds)
      try held.require()
    case .closed(let milliseconds):
      held.metrics.gateRefusals.increment()
      throw StageError.snooze("gate \(name) is closed", milliseconds: milliseconds)
    case .lost:
      held.cancel(.lost)
      throw CancellationError()
    }
  }

  /// Closes the gate for everyone after a 429.
  public func close(gate name: String, forMilliseconds: Int, reason: String) async throws {
    do {
      try await gate(name, intervalMilliseconds: 0)
        .close(milliseconds: forMilliseconds, reason: reason)
    } catch let error as RedisError where error.code == .closed {
      throw StageError.snooze(error.message, milliseconds: 1_000)
    }
  }

  private func gate(_ name: String, intervalMilliseconds: Int) -> Gate {
    let home = runner.gates.home(of: name, asking: queue)
    // Under another prefix nobody knows the batch; whether the lease still holds is then looked at here alone.
    let isOwn = home.queue.keys == queue.keys
    return Gate(
      name, intervalMilliseconds: intervalMilliseconds,
      marginMilliseconds: configuration.gateMarginMilliseconds,
      patienceMilliseconds: configuration.gatePatienceMilliseconds,
      batch: isOwn ? claim.lease.batch : "", fence: isOwn ? claim.lease.fence.description : "",
      line: home.line, clockKnownSince: { home.queue.adoption.adopted },
      call: {
        try await isOwn ? home.queue.call($0, $1) : home.callFromElsewhere($0, $1)
      })
  }
}
