internal import Logging
internal import Queue

/// Calls tick when something is due; once a minute otherwise, for what nobody foresaw.
struct Ticker: Sendable {
  let queue: Queue
  let state: WorkerState
  let configuration: WorkerConfiguration
  let logger: Logger

  /// Deadlines that lie closer together than this share a tick.
  private static let leastPause = Duration.milliseconds(20)
  private static let mostPause = Duration.seconds(60)
  private static let failurePause = Duration.seconds(10)

  func run() async throws {
    while !Task.isCancelled {
      let next = state.nextTick
      if ContinuousClock.now < next {
        await state.tick.wait(until: next)
        continue
      }
      state.setNextTick(.now + Self.mostPause)
      do {
        try await once()
      } catch let error as QueueError {
        // What tick cannot cope with today must not take the running work with it.
        logger.error("a tick failed; batchd doctor may know why", metadata: ["error": "\(error)"])
        state.planTick(at: .now + Self.failurePause)
      }
    }
  }

  private func once() async throws {
    let tick = try await queue.tick(
      maxCrashes: configuration.maxCrashes, leaseMilliseconds: configuration.leaseMilliseconds)
    if tick.moved > 0 { state.suspects.send() }
    if let deadline = tick.nextDeadline, let clock = queue.adoption.clock {
      state.planTick(at: max(clock.instant(of: deadline), .now + Self.leastPause))
    }
  }
}
