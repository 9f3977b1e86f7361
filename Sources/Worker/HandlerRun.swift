internal import Pipeline
import Synchronization

/// One run of a handler in a task of its own: the beat cancels it from outside while its settlement must go on, and one
/// that ignores its cancellation is not waited for.
final class HandlerRun: Sendable {
  enum End: Sendable {
    case returned(Result<JSON?, any Error>)
    /// It still runs, and nobody knows for how long.
    case abandoned
  }

  private enum State {
    case running(CheckedContinuation<End, Never>?)
    case ended(End)
  }

  private let state = Mutex(State.running(nil))
  private let task: Task<JSON?, any Error>

  init(_ body: @escaping @Sendable () async throws -> JSON?) {
    let task = Task { try await body() }
    self.task = task
    Task { end(.returned(await task.result)) }
  }

  func cancel() { task.cancel() }

  /// Ends the wait although the handler has not returned.
  func abandon() { end(.abandoned) }

  /// The first of the handler's return and `abandon`. To be asked for once.
  func end() async -> End {
    await withCheckedContinuation { continuation in
      let early: End? = state.withLock { state in
        if case .ended(let end) = state { return end }
        state = .running(continuation)
        return nil
      }
      if let early { continuation.resume(returning: early) }
    }
  }

  /// Waits for the return of the handler itself.
  func returned() async { _ = await task.result }

  private func end(_ end: End) {
    let waiting: CheckedContinuation<End, Never>? = state.withLock { state in
      guard case .running(let continuation) = state else { return nil }
      state = .ended(end)
      return continuation
    }
    waiting?.resume(returning: end)
  }
}
