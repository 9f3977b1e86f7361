internal import Pipeline
internal import Queue
import Synchronization

/// What the loops of one worker share: slots, leases, pauses, and the signals that wake them.
final class WorkerState: Sendable {
  private struct State {
    var free: [StageList: Int]
    /// Slots of handlers that ignored their cancellation.
    var abandoned: [StageList: Int] = [:]
    var leases: [Fence: HeldLease] = [:]
    var paused: Set<String> = []
    var isDraining = false
    var waitsForMemory = false
    var runsSuspect = false
    var backlogs: [StageList: Int] = [:]
    var lastClaim: [StageList: ContinuousClock.Instant] = [:]
    /// Lists whose last claim was answered in full: more waits there.
    var busy: Set<StageList> = []
    var outboxLength = 0
    var nextTick = ContinuousClock.now
    var wantsBeat = false
    var beats = 0
    var hasReconnected = false
  }

  let lists: [StageList]
  let metrics: WorkerMetrics
  /// One for each list's fetcher; a slot came free, a pause may have ended.
  let fetch: [StageList: Signal]
  /// One for each list's second lane: the first one's claim was answered in full.
  let assist: [StageList: Signal]
  let intake = Signal()
  let suspects = Signal()
  let beat = Signal()
  let tick = Signal()
  let outbox = Signal()
  let lease = Signal()
  private let state: Mutex<State>

  init(slots: [StageList: Int]) {
    lists = slots.keys.sorted { $0.description < $1.description }
    fetch = slots.mapValues { _ in Signal() }
    assist = slots.mapValues { _ in Signal() }
    metrics = WorkerMetrics(lists)
    state = Mutex(State(free: slots))
  }

  // MARK: Slots

  /// Takes up to `most` free slots of a list.
  func takeSlots(_ list: StageList, most: Int) -> Int {
    state.withLock { state in
      guard !state.isDraining, let free = state.free[list] else { return 0 }
      let taken = min(free, most)
      state.free[list] = free - taken
      return taken
    }
  }

  func giveSlots(_ list: StageList, _ count: Int) {
    guard count > 0 else { return }
    state.withLock { $0.free[list, default: 0] += count }
    fetch[list]?.send()
  }

  /// Notes that handlers still run although nobody waits for them, or that they returned.
  func abandon(_ list: StageList, _ count: Int) {
    state.withLock { $0.abandoned[list, default: 0] += count }
  }

  /// The one suspect that may run beside the slots: whether it was free to begin.
  func beginSuspect() -> Bool {
    state.withLock { state in
      guard !state.isDraining, !state.runsSuspect else { return false }
      state.runsSuspect = true
      return true
    }
  }

  /// - Parameter looksForMore: whether one ran, so that another may wait behind it.
  func endSuspect(looksForMore: Bool) {
    state.withLock { $0.runsSuspect = false }
    if looksForMore { suspects.send() }
  }

  // MARK: Leases

  func insert(_ held: HeldLease) {
    let isFirst = state.withLock { state in
      state.leases[held.lease.fence] = held
      return state.leases.count == 1
    }
    if isFirst {
      beat.send()
      lease.send()
    }
  }

  func remove(_ held: HeldLease) {
    state.withLock { state in
      if state.leases[held.lease.fence] === held { state.leases[held.lease.fence] = nil }
    }
  }

  var leases: [HeldLease] { state.withLock { Array($0.leases.values) } }

  /// Asks for a beat at once.
  func hurryBeat() {
    state.withLock { $0.wantsBeat = true }
    beat.send()
  }

  /// Whether a beat at once was asked for; forgets it.
  func takeHurry() -> Bool {
    state.withLock { state in
      defer { state.wantsBeat = false }
      return state.wantsBeat
    }
  }

  /// Redis is there again: a beat at once, and no connection that was blocked before is trusted.
  func noteReconnect() {
    state.withLock { $0.hasReconnected = true }
    hurryBeat()
  }

  func takeReconnect() -> Bool {
    state.withLock { state in
      defer { state.hasReconnected = false }
      return state.hasReconnected
    }
  }

  // MARK: Pauses and backlog

  var paused: Set<String> { state.withLock { $0.paused } }

  func isPaused(_ list: StageList) -> Bool {
    state.withLock { state in
      state.paused.contains("all") || state.paused.contains("pipeline:\(list.pipeline)")
        || state.paused.contains("stage:\(list)")
    }
  }

  /// A claim learned of a pause before the beat did.
  func notePause(_ list: StageList) { state.withLock { _ = $0.paused.insert("stage:\(list)") } }

  /// - Parameter isFull: whether as much was there as was asked for.
  func noteClaim(_ list: StageList, isFull: Bool) {
    state.withLock { state in
      state.lastClaim[list] = .now
      if isFull {
        state.busy.insert(list)
      } else {
        state.busy.remove(list)
      }
    }
  }

  /// Whether the last claim of the list was answered in full.
  func isBusy(_ list: StageList) -> Bool { state.withLock { $0.busy.contains(list) } }

  /// Whether stage jobs wait for this worker, and few enough ended runs wait for the store to let them wait.
  func outboxMayWait(most: Int) -> Bool {
    state.withLock { !$0.busy.isEmpty && !$0.isDraining && $0.outboxLength < most }
  }

  func apply(paused: Set<String>, backlogs: [StageList: Int], outbox: Int) {
    state.withLock { state in
      state.beats += 1
      state.outboxLength = outbox
      state.paused = paused
      for (list, backlog) in backlogs {
        // A backlog that begins now has been untouched for no time yet.
        if state.backlogs[list, default: 0] == 0 { state.lastClaim[list] = .now }
        state.backlogs[list] = backlog
      }
    }
    for signal in Array(fetch.values) + Array(assist.values) { signal.send() }
    intake.send()
  }

  /// How many beats have told of pauses and backlogs.
  var beats: Int { state.withLock { $0.beats } }

  /// A list with work, free slots and no pause from which nothing was claimed for `limit`: a loop is stuck. A slot whose
  /// handler was given up counts as free, for only a restart brings it back.
  func stalledList(limit: Duration) -> StageList? {
    let candidates = state.withLock { state in
      lists.filter { list in
        state.backlogs[list, default: 0] > 0
          && state.free[list, default: 0] + state.abandoned[list, default: 0] > 0
          && state.lastClaim[list].map { ContinuousClock.now - $0 > limit } ?? false
      }
    }
    return candidates.first { !isPaused($0) }
  }

  // MARK: Time and draining

  /// Asks for a tick at `moment` if none is planned before.
  func planTick(at moment: ContinuousClock.Instant) {
    let isEarlier = state.withLock { state in
      guard moment < state.nextTick else { return false }
      state.nextTick = moment
      return true
    }
    if isEarlier { tick.send() }
  }

  func setNextTick(_ moment: ContinuousClock.Instant) { state.withLock { $0.nextTick = moment } }

  var nextTick: ContinuousClock.Instant { state.withLock { $0.nextTick } }

  /// Whether new entries wait because Redis is full.
  var admissionWaitsForMemory: Bool { state.withLock { $0.waitsForMemory } }

  /// - Returns: what it was before.
  func setAdmissionWaitsForMemory(_ waits: Bool) -> Bool {
    state.withLock { state in
      defer { state.waitsForMemory = waits }
      return state.waitsForMemory
    }
  }

  var isDraining: Bool { state.withLock { $0.isDraining } }

  func beginDrain() { state.withLock { $0.isDraining = true } }
}
