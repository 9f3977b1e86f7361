import Synchronization

/// The task in which a claimed batch runs, stage after stage: handlers are stopped from outside by cancelling it.
final class JobTask: Sendable {
  private let state = Mutex<(task: Task<Void, Never>?, isCancelled: Bool)>((nil, false))

  func start(_ body: @escaping @Sendable () async -> Void) {
    let task = Task { await body() }
    let isCancelled = state.withLock { state in
      state.task = task
      return state.isCancelled
    }
    if isCancelled { task.cancel() }
  }

  func cancel() {
    let task = state.withLock { state in
      state.isCancelled = true
      return state.task
    }
    task?.cancel()
  }
}

/// Counts the jobs under way, for whoever must wait until there are none.
final class RunningJobs: Sendable {
  private let state = Mutex<(count: Int, waiter: CheckedContinuation<Void, Never>?)>((0, nil))

  func enter() { state.withLock { $0.count += 1 } }

  func leave() {
    let waiter = state.withLock { state in
      state.count -= 1
      guard state.count == 0 else { return CheckedContinuation<Void, Never>?.none }
      defer { state.waiter = nil }
      return state.waiter
    }
    waiter?.resume()
  }

  /// Returns when none is under way. For one caller, who knows that no more will come.
  func untilNone() async {
    await withCheckedContinuation { continuation in
      let isNone = state.withLock { state in
        guard state.count > 0 else { return true }
        state.waiter = continuation
        return false
      }
      if isNone { continuation.resume() }
    }
  }
}
