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
  let logger: Logger

  /// - Throws: `QueueError` with `.twin` when another process has this worker's name.
  func run() async throws {
    var last = ContinuousClock.now - .milliseconds(configuration.idleBeatMilliseconds)
    var broken: Int?
    while !Task.isCancelled {
      let isIdle = state.leases.isEmpty
      let pause = isIdle ? configuration.idleBeatMilliseconds : configuration.beatMilliseconds
      let due = last + .milliseconds(pause)
      if ContinuousClock.now < due, !state.takeHurry() {
        await state.beat.wait(until: due)
        continue
      }
      last = .now
      do {
        let beat = try await once()
        await report(beat.broken - (broken ?? beat.broken))
        broken = beat.broken
      } catch let error as QueueError where error.code != .twin {
        // The leases' local deadlines hold whatever Redis says; the next beat may be answered.
        logger.error("a beat failed; batchd doctor may know why", metadata: ["error": "\(error)"])
      }
    }
  }

  /// Broken records belong into the log of those who met them.
  private func report(_ count: Int) async {
    guard count > 0, let records = try? await queue.brokenRecords(newest: count) else { return }
    for record in records {
      logger.error(
        "a key of Redis was broken; see what wrote it, and batchd doctor for what is left",
        metadata: [
          "key": "\(record.key)", "problem": "\(record.problem)", "remedy": "\(record.remedy)",
        ])
    }
  }

  private func once() async throws -> Queue.Beat {
    let leases = state.leases
    let sent = ContinuousClock.now
    let beat = try await watchdog.waitingForRedis {
      try await queue.renew(
        leases.map(\.lease), boot: boot, lists: state.lists,
        counters: state.metrics.fields(registrations: queue.adoption.registrations),
        leaseMilliseconds: configuration.leaseMilliseconds)
    }
    state.metrics.noteAnswer()
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
        uniqueKeysWithValues: zip(state.lists, beat.backlogs.map(\.waiting))),
      outbox: beat.outbox)
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
    return beat
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
