import Synchronization

/// Whether the work under every prefix has come to its end: until then each keeps its Redis reachable, for the others may
/// ask gates there.
final class Farewell: Sendable {
  private let left: Atomic<Int>

  init(_ count: Int) { left = Atomic(count) }

  func arrive() { left.subtract(1, ordering: .relaxed) }

  /// Returns when all have arrived, or the task is cancelled.
  func wait() async {
    while left.load(ordering: .relaxed) > 0, !Task.isCancelled {
      try? await Task.sleep(for: .milliseconds(20))
    }
  }
}
