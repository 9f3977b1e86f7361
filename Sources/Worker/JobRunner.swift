internal import CoreMetrics
internal import Logging
internal import Pipeline
internal import Queue
internal import Stores

/// Runs one claimed batch, stage after stage, for as long as its lease goes on.
final class JobRunner: Sendable {
  let queue: Queue
  let state: WorkerState
  let store: any ResultsStore
  let settlement: Settlement
  let jobs = RunningJobs()
  private let storeComplaint = StoreComplaint()
  let gates: GateHomes
  let definitions: [StageList: StageDefinition]
  /// The list of the next stage that this worker serves.
  let following: [StageList: StageList]
  let configuration: WorkerConfiguration
  let logger: Logger

  init(
    queue: Queue, gates: GateHomes, state: WorkerState, store: any ResultsStore,
    settlement: Settlement,
    definitions: [StageList: StageDefinition], following: [StageList: StageList],
    configuration: WorkerConfiguration, logger: Logger
  ) {
    self.queue = queue
    self.gates = gates
    self.state = state
    self.store = store
    self.settlement = settlement
    self.definitions = definitions
    self.following = following
    self.configuration = configuration
    self.logger = logger
  }

  func start(_ assignment: Assignment) {
    jobs.enter()
    let task = JobTask()
    task.start { await self.run(assignment, task) }
  }

  private func run(_ assignment: Assignment, _ task: JobTask) async {
    // Once for all the stages of the lease.
    let work = Result { try Envelope.work(parsing: assignment.claim.input) }
    var current: Assignment? = assignment
    while let assignment = current {
      let claim = assignment.claim
      guard let definition = definitions[claim.list],
        let metrics = state.metrics.stages[claim.list]
      else { break }
      let held = HeldLease(
        claim, sent: assignment.sent, leaseMilliseconds: configuration.leaseMilliseconds,
        metrics: metrics)
      state.insert(held)
      // What arrives after the drain has begun was not there to be told.
      if state.isDraining, definition.onDrain != .finish { held.cancel(.draining) }
      let watch = Stopwatch()
      guard let verdict = await attempt(claim, work, definition, held, task) else {
        state.abandon(claim.list, -1)
        return free(held)
      }
      metrics.time.recordNanoseconds(watch.nanoseconds)
      current = await settle(verdict, claim, definition, held)
      state.remove(held)
      free(held)
      // Its handler was told to stop and came to its end all the same: the next one has not been told anything.
      if let next = current, Task.isCancelled {
        start(next)
        break
      }
    }
    jobs.leave()
  }

  /// Settles for a handler that does not stop, however long it goes on: nothing shall wait for it.
  private func giveUp(_ claim: Claim, _ definition: StageDefinition, _ held: HeldLease) {
    logger.warning(
      "a handler does not stop; its slot stays taken until it returns", metadata: claim.metadata)
    state.abandon(claim.list, 1)
    Task {
      _ = await settle(
        self.verdict(CancellationError(), definition, held), claim, definition, held)
      state.remove(held)
      jobs.leave()
    }
  }

  private func free(_ held: HeldLease) {
    if held.isAlone {
      state.endSuspect(looksForMore: true)
    } else {
      state.giveSlots(held.list, 1)
    }
  }

  // MARK: One attempt

  /// How an attempt ended.
  private enum Verdict {
    case finished(JSON?)
    case retry(String, afterMilliseconds: Int?)
    case permanent(String)
    case snooze(String, milliseconds: Int)
    case handBack
    /// The lease is not ours any more, or the batch has ended: there is nothing to say.
    case gone
  }

  /// - Returns: how it ended; nil when it was given up before.
  private func attempt(
    _ claim: Claim, _ work: Result<Envelope.Work, any Error>, _ definition: StageDefinition,
    _ held: HeldLease, _ task: JobTask
  ) async -> Verdict? {
    do {
      let job = try claim.job(of: work.get())
      // The claim may have been on its way for longer than its lease.
      try held.require()
      try checkHome(of: job)
      held.start(
        timeoutMilliseconds: definition.timeoutMilliseconds, stop: task.cancel,
        abandon: { self.giveUp(claim, definition, held) })
      if definition.writesToStore { try await raiseFence(of: job) }
      let context = StageContext(
        runner: self, claim: claim, held: held, items: Set(job.items.map(\.id)))
      let output = try await definition.handler.run(job, context)
      return held.ended()
        ? verdict(try OutputBound(bytes: definition.outputBytes).bounded(output), held) : nil
    } catch {
      return held.ended() ? verdict(error, definition, held) : nil
    }
  }

  private func raiseFence(of job: StageJob) async throws {
    let prefix = queue.keys.prefix
    do {
      try await store.raise(fence: job.fence, of: job, prefix: prefix, forgotten: nil)
    } catch let error as StoreError where error.code == .taken {
      guard let other = error.prefix, try await gates.forgot(job.batch, under: other) else {
        throw error
      }
      try await store.raise(fence: job.fence, of: job, prefix: prefix, forgotten: other)
    }
  }

  /// A batch from before the prefixes were changed: the account's gate and lane are elsewhere now.
  private func checkHome(of job: StageJob) throws {
    guard let account = job.account else { return }
    let home = queue.prefixes.home(of: account)
    guard home != queue.keys.prefix else { return }
    throw StageError.snooze(
      "account \(account) has its batches under the prefix \(home) since the prefixes were changed: cancel this one and enqueue it there, or take the change back",
      milliseconds: 60_000)
  }

  /// Something was kept of what runs under the lease: a suspect is none any more.
  func noteProgress(under held: HeldLease) {
    if held.join({ state.takeSlots(held.list, most: 1) == 1 }) {
      state.endSuspect(looksForMore: true)
    }
  }

  private func verdict(_ output: JSON?, _ held: HeldLease) -> Verdict {
    held.isOver ? .gone : .finished(output)
  }

  private func verdict(
    _ error: any Error, _ definition: StageDefinition, _ held: HeldLease
  ) -> Verdict {
    switch held.reason {
    case .lost, .cancelled: return .gone
    case .draining: return .handBack
    case .timedOut:
      return .retry(
        "timed out after \(definition.timeoutMilliseconds) ms, the timeout_ms of the stage",
        afterMilliseconds: nil)
    case nil: break
    }
    switch error {
    case StageError.retry(let text, let delay): return .retry(text, afterMilliseconds: delay)
    case StageError.permanent(let text): return .permanent(text)
    case StageError.snooze(let text, let delay): return .snooze(text, milliseconds: delay)
    case let error as StoreError:
      switch error.code {
      // A damaged store is mended or replaced by a person; until then it would fail every batch that came near it.
      case .unavailable, .incompatible:
        storeComplaint.say(error.message, to: logger)
        return .snooze(error.message, milliseconds: 5_000)
      case .fenced: return .gone
      case .taken: return .snooze(error.message, milliseconds: 5_000)
      case .invalid: return .permanent(error.message)
      }
    case let error as QueueError where error.code == .output:
      return .permanent(Self.words(of: error))
    case let error as EnvelopeError: return .permanent("\(error)")
    // Nobody stopped the handler, so the whole worker is being stopped.
    case is CancellationError: return .handBack
    default: return .retry("\(error)", afterMilliseconds: nil)
    }
  }

  // MARK: Settlement

  /// Says how the attempt ended.
  /// - Returns: the next stage when the lease goes on.
  private func settle(
    _ verdict: Verdict, _ claim: Claim, _ definition: StageDefinition, _ held: HeldLease
  ) async -> Assignment? {
    do {
      switch verdict {
      case .finished(let output): return try await finish(claim, output, held)
      case .retry(let text, let delay):
        try await retry(claim, definition, held, text, after: delay)
      case .permanent(let text): try await end(claim, held, text)
      case .snooze(let text, let delay):
        count(.snoozed, claim, held, reason: text)
        try await shielded { [queue] in
          try await queue.snooze(claim.lease, delayMilliseconds: delay, reason: text)
        }
        state.planTick(at: .now + .milliseconds(delay))
      case .handBack:
        count(.handedBack, claim, held)
        try await shielded { [queue] in try await queue.handBack([claim.lease]) }
      case .gone:
        count(held.reason == .cancelled ? .cancelled : .lost, claim, held)
        // After a local deadline Redis may not have noticed yet, and would call it a crash. The fence decides.
        if held.reason == .lost {
          try await shielded { [queue] in try await queue.handBack([claim.lease]) }
        }
      }
    } catch {
      // The lease expires and the stage runs again: at-least-once.
      logger.warning(
        "cannot settle; the batch runs again when its lease expires",
        metadata: claim.metadata.with("error", "\(error)"))
    }
    return nil
  }

  private func finish(_ claim: Claim, _ output: JSON?, _ held: HeldLease) async throws
    -> Assignment?
  {
    var kept: [UInt8]?
    if let output {
      do {
        kept = try await queue.keep(output, under: claim.lease)
      } catch let error as QueueError where error.code == .output {
        try await end(claim, held, Self.words(of: error))
        return nil
      }
      if kept == nil {
        count(.lost, claim, held)
        return nil
      }
    }
    let following = following[claim.list]
    let hasSlot = following.map { state.takeSlots($0, most: 1) == 1 } ?? false
    let sent = ContinuousClock.now
    let answer: Queue.Finished
    do {
      answer = try await settlement.finish(
        Queue.Finish(claim: claim, kept: kept, goesOn: hasSlot))
    } catch {
      if let following, hasSlot { state.giveSlots(following, 1) }
      throw error
    }
    if case .full = answer {
      if let following, hasSlot { state.giveSlots(following, 1) }
      try await end(claim, held, Self.full)
      return nil
    }
    if case .lost = answer {
      count(.lost, claim, held)
    } else {
      count(.finished, claim, held)
    }
    if case .next(let next) = answer, next.list == following {
      return Assignment(claim: next, sent: sent)
    }
    if let following, hasSlot { state.giveSlots(following, 1) }
    switch answer {
    case .ended: state.outbox.send()
    case .next(let next):
      // Admitted through other stages than this worker was given: the next one is for who serves it.
      try await shielded { [queue] in try await queue.handBack([next.lease]) }
    default: break
    }
    return nil
  }

  /// The first word of a refusal is for programs.
  private static func words(of error: QueueError) -> String {
    String(error.message.drop { $0 != " " }.dropFirst())
  }

  private static let full =
    "the batch's outputs are too large together; make smaller batches or outputs, or raise limits.batch_output_bytes"

  private func retry(
    _ claim: Claim, _ definition: StageDefinition, _ held: HeldLease, _ text: String,
    after delay: Int?
  ) async throws {
    switch definition.retry.decide(attempt: claim.attempt, retryAfterMilliseconds: delay) {
    case .retry(let milliseconds):
      count(.retried, claim, held)
      logger.notice(
        "attempt failed; trying again",
        metadata: claim.metadata.with("error", "\(text)")
          .with("in_ms", .stringConvertible(milliseconds)))
      _ = try await shielded { [queue] in
        try await queue.fail(claim.lease, delayMilliseconds: milliseconds, error: text)
      }
      state.planTick(at: .now + .milliseconds(milliseconds))
    case .giveUp:
      try await end(claim, held, "\(text) (attempt \(claim.attempt), no retries left)")
    }
  }

  /// Whoever writes the end into the history tells of it as a warning.
  private func end(_ claim: Claim, _ held: HeldLease, _ text: String) async throws {
    count(.failed, claim, held)
    logger.notice(
      "attempt failed; the batch fails", metadata: claim.metadata.with("error", "\(text)"))
    _ = try await shielded { [queue] in
      try await queue.fail(claim.lease, delayMilliseconds: nil, error: text)
    }
    state.outbox.send()
  }

  private func count(
    _ outcome: StageMetrics.Outcome, _ claim: Claim, _ held: HeldLease, reason: String? = nil
  ) {
    held.metrics.count(outcome)
    logger.debug(
      "attempt ended",
      metadata: claim.metadata.with("outcome", "\(outcome.name)")
        .with("reason", reason.map { "\($0)" }))
  }
}
