internal import Logging
internal import Queue

/// One call per beat renews every lease, says that the worker lives and learns what it must know: lost and cancelled
/// leases, pauses, backlogs, the next deadline.
struct Beat: Sendable {
  let queue: Queue
  let state: WorkerState
  let boot: String
  let blocked: [StageList: BlockedConnection]
  let blockedIntake: BlockedConnection
  let configuration: WorkerConfiguration
  let watchdog: Watchdog

  /// - Throws: `QueueError` with `.twin` when another process has this worker's name.
  func run() async throws {
    var last = ContinuousClock.now - .milliseconds(configuration.idleBeatMilliseconds)
    while !Task.isCancelled {
      let isIdle = state.leases.isEmpty
      let pause = isIdle ? configuration.idleBeatMilliseconds : configuration.beatMilliseconds
      let due = last + .milliseconds(pause)
      if ContinuousClock.now < due, !state.takeHurry() {
        await state.beat.wait(until: due)
        continue
      }
      last = .now
      try await once()
    }
  }

  func once() async throws {
    let leases = state.leases
    let sent = ContinuousClock.now
    let beat = try await watchdog.waitingForRedis {
      try await queue.renew(
        leases.map(\.lease), boot: boot, lists: state.lists, counters: state.counters,
        leaseMilliseconds: configuration.leaseMilliseconds)
    }
    for (held, leaseState) in zip(leases, beat.leases) {
      switch leaseState {
      case .held: held.renewed(sent: sent)
      case .lost: held.cancel(.lost)
      case .cancelled: held.cancel(.cancelled)
      }
    }
    state.apply(
      paused: beat.paused,
      backlogs: Dictionary(
        uniqueKeysWithValues: zip(state.lists, beat.backlogs.map(\.waiting))))
    if beat.backlogs.contains(where: { $0.suspects > 0 }) { state.suspects.send() }
    if beat.outbox > 0 { state.outbox.send() }
    if let deadline = beat.nextDeadline, let clock = queue.adoption.clock {
      state.planTick(at: clock.instant(of: deadline))
    }
    await rearm(beat)
    if state.takeReconnect() {
      for connection in blocked.values { await connection.rearm(olderThan: .zero) }
      await blockedIntake.rearm(olderThan: .zero)
    }
  }

  /// A list that holds something although a call is blocked on it: that connection is dead.
  private func rearm(_ beat: Queue.Beat) async {
    let age = Duration.seconds(2)
    for (list, backlog) in zip(state.lists, beat.backlogs)
    where backlog.waiting > 0 && !state.isPaused(list) {
      await blocked[list]?.rearm(olderThan: age)
    }
    if beat.enqueued > 0 { await blockedIntake.rearm(olderThan: age) }
  }
}
