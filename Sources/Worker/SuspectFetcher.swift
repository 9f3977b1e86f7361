internal import Logging
internal import Queue

/// Runs batches whose worker crashed, one at a time: whichever is to blame takes nobody with it.
struct SuspectFetcher: Sendable {
  let queue: Queue
  let state: WorkerState
  let configuration: WorkerConfiguration
  let logger: Logger
  let submit: @Sendable (Assignment) -> Void

  func run() async {
    while !Task.isCancelled {
      await state.suspects.wait()
      for list in state.lists where !Task.isCancelled && !state.isPaused(list) {
        guard state.beginSuspect() else { break }
        if await claim(list) { break }
        state.endSuspect(looksForMore: false)
      }
    }
  }

  /// - Returns: whether a suspect runs now; its end sends the signal again.
  private func claim(_ list: StageList) async -> Bool {
    let sent = ContinuousClock.now
    do {
      let answer = try await shielded {
        try await queue.claim(
          list, from: .suspects, count: 1, leaseMilliseconds: configuration.leaseMilliseconds)
      }
      guard case .batches(let claims) = answer, let claim = claims.first else { return false }
      logger.warning("running a batch alone after a crash", metadata: claim.metadata)
      submit(Assignment(claim: claim, sent: sent))
      return true
    } catch {
      logger.error(
        "cannot claim a suspect", metadata: list.metadata.with("error", "\(error)"))
      return false
    }
  }
}
