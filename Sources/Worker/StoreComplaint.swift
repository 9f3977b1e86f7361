internal import Logging
internal import Synchronization

/// Says in the log that the store cannot be used: once a minute, for every batch that comes near it meets the same.
final class StoreComplaint: Sendable {
  private static let pause = Duration.seconds(60)

  private let said = Mutex<ContinuousClock.Instant?>(nil)

  func say(_ reason: String, to logger: Logger) {
    let isDue = said.withLock { said in
      if let said, ContinuousClock.now - said < Self.pause { return false }
      said = .now
      return true
    }
    guard isDue else { return }
    logger.warning(
      "the store cannot be used; batches wait for it, uncharged", metadata: ["error": "\(reason)"])
  }
}
