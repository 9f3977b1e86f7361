internal import Logging
internal import Queue
internal import Redis
import Synchronization

/// Attests to systemd that the loops turn. A claimable backlog that nobody touches for a minute with free slots, or a beat
/// that hangs for another reason than Redis's absence, withholds the word, and systemd restarts the service.
final class Watchdog: Sendable {
  private struct State {
    var lastBeat = ContinuousClock.now
    var waitsForRedis = false
  }

  private static let patience = Duration.seconds(60)

  private let systemd: Systemd
  private let workerState: WorkerState
  private let queue: Queue
  private let drainMilliseconds: Int
  private let logger: Logger
  private let state = Mutex(State())

  init(
    systemd: Systemd, workerState: WorkerState, queue: Queue, drainMilliseconds: Int, logger: Logger
  ) {
    self.systemd = systemd
    self.workerState = workerState
    self.queue = queue
    self.drainMilliseconds = drainMilliseconds
    self.logger = logger
  }

  /// Marks a beat: while `body` waits, it is Redis that is waited for.
  func waitingForRedis<T>(_ body: () async throws -> T) async throws -> T {
    state.withLock { $0.waitsForRedis = true }
    defer {
      state.withLock { state in
        state.waitsForRedis = false
        state.lastBeat = .now
      }
    }
    return try await body()
  }

  func run() async {
    let pause = systemd.watchdogInterval.map { $0 / 3 } ?? .seconds(10)
    while !Task.isCancelled {
      systemd.tell(status, of: queue.keys.prefix)
      if workerState.isDraining {
        systemd.notify("EXTEND_TIMEOUT_USEC=\((drainMilliseconds + 10_000) * 1_000)")
      }
      if let stuck {
        logger.critical("withholding the watchdog's word", metadata: ["reason": "\(stuck)"])
      } else {
        systemd.attest(queue.keys.prefix)
      }
      try? await Task.sleep(for: min(pause, .seconds(10)))
    }
  }

  /// Why the word is withheld.
  private var stuck: String? {
    let (lastBeat, waits) = state.withLock { ($0.lastBeat, $0.waitsForRedis) }
    if waits { return nil }
    if ContinuousClock.now - lastBeat > Self.patience { return "the beat stopped" }
    return workerState.stalledList(limit: Self.patience).map { "nothing is claimed from \($0)" }
  }

  private var status: String {
    if let waiting = queue.waitingForRedis { return waiting }
    let running = workerState.leases.count
    if workerState.isDraining { return "draining, \(running) running" }
    let paused = workerState.paused
    return "running \(running)"
      + (workerState.admissionWaitsForMemory ? ", Redis is full: new entries wait" : "")
      + (paused.isEmpty ? "" : ", paused: \(paused.sorted().joined(separator: " "))")
  }
}

extension Queue {
  /// What a person is told while Redis is away.
  var waitingForRedis: String? {
    client.isConnected ? nil : client.lastFailure.map { "waiting for Redis: \($0)" }
  }
}
