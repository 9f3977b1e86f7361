internal import Logging
internal import Queue
internal import Redis

/// Fetches batches of one list: claims many at once while there are some, blocks while there are none.
///
/// Two lanes for each list: the second one claims while the first one's answer travels and is worked with, as long as claims
/// are answered in full. Only the first one waits for what arrives. A third one is admission's, for batches that begin at
/// once.
struct StageFetcher: Sendable {
  let list: StageList
  let lane: Int
  let queue: Queue
  let state: WorkerState
  let settlement: Settlement
  let blocked: BlockedConnection
  let configuration: WorkerConfiguration
  let logger: Logger
  let submit: @Sendable (Assignment) -> Void

  /// The most batches of one claim: enough to spread the call's cost, few enough to share with other workers.
  private static let claimCount = 64

  /// A signal wakes one loop.
  private var signal: Signal? { (lane == 1 ? state.fetch : state.assist)[list] }

  func run() async {
    // A blocked call may leave an id in the intake: the next claim runs it, or returns it when the list was paused.
    var isIntakeEmpty = true
    while !Task.isCancelled {
      if lane == 2, !state.isBusy(list) {
        await signal?.wait()
        continue
      }
      let isResting = isIntakeEmpty && (state.isPaused(list) || settlement.isBehind)
      let slots = isResting ? 0 : state.takeSlots(list, most: Self.claimCount)
      guard slots > 0 else {
        await signal?.wait()
        continue
      }
      do {
        let used = try await claim(slots)
        isIntakeEmpty = true
        if lane == 1, used == slots { state.assist[list]?.send() }
        guard used == 0 else { continue }
        guard lane == 1 else {
          state.giveSlots(list, slots)
          continue
        }
        // One slot stays reserved while blocked, so that what arrives can run at once.
        state.giveSlots(list, slots - 1)
        defer { state.giveSlots(list, 1) }
        isIntakeEmpty = false
        try await block()
      } catch {
        await rest(after: error)
      }
    }
    if lane == 1 { await blocked.close() }
  }

  /// Claims up to `count` batches that are being admitted at this moment, unless the lanes that run are at it anyway.
  func claimAdmitted(_ count: Int) async {
    guard !state.isBusy(list), !state.isPaused(list), !settlement.isBehind else { return }
    // With one more than were admitted, an answer in full means that more waits.
    let slots = state.takeSlots(list, most: min(count + 1, Self.claimCount))
    // Whatever goes wrong, the fetcher finds them.
    if slots > 0, let used = try? await claim(slots), used == 0 { state.giveSlots(list, slots) }
  }

  /// Claims for the taken slots and returns those that stay free, but for the caller's when nothing was there.
  /// - Returns: how many slots are in use now.
  private func claim(_ slots: Int) async throws -> Int {
    let sent = ContinuousClock.now
    let answer: Queue.Claimed
    do {
      answer = try await shielded {
        try await queue.claim(
          list, lane: lane, count: slots, leaseMilliseconds: configuration.leaseMilliseconds)
      }
    } catch {
      state.giveSlots(list, slots)
      throw error
    }
    switch answer {
    case .paused:
      state.noteClaim(list, isFull: false)
      state.notePause(list)
      state.giveSlots(list, slots)
      return slots
    case .batches(let claims):
      state.noteClaim(list, isFull: claims.count == slots)
      for claim in claims { submit(Assignment(claim: claim, sent: sent)) }
      if !claims.isEmpty { state.giveSlots(list, slots - claims.count) }
      return claims.count
    }
  }

  private func block() async throws {
    while !Task.isCancelled {
      let arrived = try await blocked.call {
        try await queue.awaitBatch(list, on: $0, milliseconds: configuration.fetchMilliseconds)
      }
      if arrived { return }
    }
  }

  /// A refusal disarms until the next beat, a lost connection for a moment: nothing spins.
  private func rest(after error: any Error) async {
    guard !Task.isCancelled else { return }
    let refused = (error as? RedisError)?.code == .server || error is QueueError
    if refused {
      logger.error(
        "fetching stops until the next beat", metadata: list.metadata.with("error", "\(error)"))
      // Slots that come free send the same signal, this loop's own among them; only a beat is news of Redis.
      let beats = state.beats
      while state.beats == beats, !Task.isCancelled { await signal?.wait() }
    } else {
      await signal?.wait(until: .now + .milliseconds(500))
    }
  }
}

/// A claimed batch on its way to a runner.
struct Assignment: Sendable {
  let claim: Claim
  /// The moment before the claim was sent: the local deadline counts from there.
  let sent: ContinuousClock.Instant
}

/// Runs `body` to its end although the calling task may be cancelled. A claim that Redis executed must reach its runner,
/// or the batch would be charged with a crash that never was; a settlement must be heard.
func shielded<T: Sendable>(_ body: @escaping @Sendable () async throws -> T) async throws -> T {
  try await Task(executorPreference: RedisExecutor.shared) { try await body() }.value
}
