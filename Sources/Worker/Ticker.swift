internal import Queue

/// Calls tick when something is due; once a minute otherwise, for what nobody foresaw.
struct Ticker: Sendable {
  let queue: Queue
  let state: WorkerState
  let configuration: WorkerConfiguration

  /// Deadlines that lie closer together than this share a tick.
  private static let leastPause = Duration.milliseconds(20)
  private static let mostPause = Duration.seconds(60)

  func run() async throws {
    while !Task.isCancelled {
      let next = state.nextTick
      if ContinuousClock.now < next {
        await state.tick.wait(until: next)
        continue
      }
      state.setNextTick(.now + Self.mostPause)
      let tick = try await queue.tick(maxCrashes: configuration.maxCrashes)
      if tick.moved > 0 { state.suspects.send() }
      if let deadline = tick.nextDeadline, let clock = queue.adoption.clock {
        state.planTick(at: max(clock.instant(of: deadline), .now + Self.leastPause))
      }
    }
  }
}
