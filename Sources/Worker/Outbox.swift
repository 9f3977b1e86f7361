internal import Logging
internal import Pipeline
internal import Queue
internal import Stores

/// Writes ended runs into the store and acknowledges them; their retention starts there.
struct Outbox: Sendable {
  let queue: Queue
  let state: WorkerState
  let store: any ResultsStore
  let logger: Logger

  private static let runCount = 100
  /// While stage jobs wait, so do ended runs: for this long before each write, as long as they are not more than this.
  private static let pause = Duration.seconds(1)
  private static let waitingEntries = 10_000

  func run() async throws {
    while !Task.isCancelled {
      await state.outbox.wait()
      do {
        var mayHaveMore = true
        while mayHaveMore, !Task.isCancelled {
          await giveWay()
          mayHaveMore = try await writeSome()
        }
      } catch let error as QueueError {
        // Nothing is acknowledged that was not written: the next beat that sees the outbox tries again.
        logger.error(
          "cannot read the outbox; batchd doctor may know why", metadata: ["error": "\(error)"])
      }
    }
  }

  private func giveWay() async {
    let limit = ContinuousClock.now + Self.pause
    while state.outboxMayWait(most: Self.waitingEntries), ContinuousClock.now < limit,
      !Task.isCancelled
    {
      try? await Task.sleep(for: .milliseconds(50))
    }
  }

  /// - Returns: whether there may be more.
  private func writeSome() async throws -> Bool {
    let ended = try await queue.outbox(count: Self.runCount)
    guard !ended.isEmpty else { return false }
    let batches = ended.flatMap(\.batches)
    do {
      try await store.record(batches)
    } catch let error as StoreError {
      // What this worker took stays pending in the stream: it is given it again at the next beat, another one after a minute.
      logger.error("cannot write the history; trying again", metadata: ["error": "\(error)"])
      return false
    }
    try await queue.archive(ended)
    state.metrics.count(batches)
    for batch in batches { report(batch) }
    return true
  }

  /// The one line of each end, whoever decided it.
  private func report(_ batch: EndedBatch) {
    switch batch.status {
    case "completed": logger.debug("batch completed", metadata: batch.metadata)
    case "completed_with_errors":
      logger.notice("batch completed with errors", metadata: batch.metadata)
    case "cancelled": logger.info("batch cancelled", metadata: batch.metadata)
    default: logger.warning("batch failed", metadata: batch.metadata)
    }
  }
}
