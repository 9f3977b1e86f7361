import Synchronization

/// What a test sets and a handler waits for.
final class Latch: Sendable {
  private let state = Mutex(false)

  var isSet: Bool { state.withLock { $0 } }
  func set() { state.withLock { $0 = true } }

  func wait() async throws {
    while !isSet { try await Task.sleep(for: .milliseconds(20)) }
  }
}
