import Synchronization

/// Where those who ask gates stand in line, so that few calls of a process are under way at once.
///
/// A permission must be used within milliseconds. A thousand callers at once would make each reply come later than that;
/// everybody would ask again, and nobody get through.
public final class GateLine: Sendable {
  private struct State {
    var free: Int
    var waiting: [(id: UInt64, continuation: CheckedContinuation<Void, any Error>)] = []
    var lastID: UInt64 = 0
  }

  private let state: Mutex<State>

  /// - Parameter width: how many calls at once. Each costs Redis some 0.1 ms, and all of them far less than half a margin.
  public init(width: Int = 16) { state = Mutex(State(free: width)) }

  /// Runs `body` when it is the caller's turn.
  /// - Throws: `CancellationError` when the task was cancelled before; whatever `body` throws.
  func pass<T>(_ body: () async throws -> T) async throws -> T {
    try await enter()
    defer { leave() }
    return try await body()
  }

  private func enter() async throws {
    let id = state.withLock { state in
      state.lastID += 1
      return state.lastID
    }
    try await withTaskCancellationHandler {
      try await withCheckedThrowingContinuation { continuation in
        let answer = state.withLock { state -> Result<Void, any Error>? in
          if Task.isCancelled { return .failure(CancellationError()) }
          if state.free > 0 {
            state.free -= 1
            return .success(())
          }
          state.waiting.append((id, continuation))
          return nil
        }
        if let answer { continuation.resume(with: answer) }
      }
    } onCancel: {
      let left = state.withLock { state in
        state.waiting.firstIndex { $0.id == id }.map { state.waiting.remove(at: $0) }
      }
      left?.continuation.resume(throwing: CancellationError())
    }
  }

  private func leave() {
    let next = state.withLock { state -> CheckedContinuation<Void, any Error>? in
      guard state.waiting.isEmpty else { return state.waiting.removeFirst().continuation }
      state.free += 1
      return nil
    }
    next?.resume()
  }
}
