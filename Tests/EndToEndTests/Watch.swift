import Redis
import Synchronization

/// Looks at the whole queue again and again.
final class Watch: Sendable {
  struct Seen {
    var samples = 0
    var problems: Set<String> = []
    /// When each item was first seen checkpointed, in Unix milliseconds.
    var checkpointed: [String: Int64] = [:]
  }

  private let state = Mutex(Seen())
  var seen: Seen { state.withLock { $0 } }

  /// Samples until it is cancelled, and once more.
  func run(_ client: RedisClient) async throws -> Int {
    while !Task.isCancelled {
      note(try await Snapshot.take(client))
      try? await Task.sleep(for: .milliseconds(40))
    }
    note(try await Task { try await Snapshot.take(client) }.value)
    return 0
  }

  private func note(_ snapshot: Snapshot) {
    state.withLock { seen in
      seen.samples += 1
      seen.problems.formUnion(snapshot.problems)
      for key in snapshot.checkpointed where seen.checkpointed[key] == nil {
        seen.checkpointed[key] = snapshot.milliseconds
      }
    }
  }
}
