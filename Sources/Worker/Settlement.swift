internal import Queue
internal import Redis
import Synchronization

/// Sends finished stage jobs to Redis: those that finish while a call is under way leave together in the next.
final class Settlement: Sendable {
  private struct Waiting {
    let finish: Queue.Finish
    let continuation: CheckedContinuation<Queue.Finished, any Error>
  }

  private struct State {
    var waiting: [Waiting] = []
    var callsUnderWay = 0
  }

  /// The most stage jobs of one call: bounds its time inside Redis.
  private static let most = 64
  /// So many that wait keep every call full, even while the next batches are being claimed.
  private static let behind = 2 * most

  private let queue: Queue
  private let leaseMilliseconds: Int
  private let onRoom: @Sendable () -> Void
  private let state = Mutex(State())

  /// - Parameter onRoom: called whenever `isBehind` has ended.
  init(queue: Queue, leaseMilliseconds: Int, onRoom: @escaping @Sendable () -> Void) {
    self.queue = queue
    self.leaseMilliseconds = leaseMilliseconds
    self.onRoom = onRoom
  }

  /// Whether more has finished than the next calls can say. Who claims in spite of it only makes batches wait under a lease,
  /// and those of later stages for a slot.
  var isBehind: Bool { state.withLock { $0.waiting.count >= Self.behind } }

  /// Settles one finished stage job. Not cancellable: what was done must be said.
  func finish(_ finish: Queue.Finish) async throws -> Queue.Finished {
    try await withCheckedThrowingContinuation { continuation in
      let mustSend = state.withLock { state in
        state.waiting.append(Waiting(finish: finish, continuation: continuation))
        // A second call fills the time in which the first one travels and is worked with; if it is full, for a call of a
        // few costs Redis as much as they are many.
        let isNext =
          state.callsUnderWay == 0 || state.callsUnderWay == 1 && state.waiting.count >= Self.most
        if isNext { state.callsUnderWay += 1 }
        return isNext
      }
      // A task of its own, for the one that happened to come first may be cancelled, and others wait with it.
      if mustSend { Task(executorPreference: RedisExecutor.shared) { [self] in await sendAll() } }
    }
  }

  private func sendAll() async {
    while let batch = next() {
      do {
        let answers = try await queue.finish(
          batch.map(\.finish), leaseMilliseconds: leaseMilliseconds)
        for (job, answer) in zip(batch, answers) { job.continuation.resume(returning: answer) }
      } catch {
        for job in batch { job.continuation.resume(throwing: error) }
      }
    }
  }

  /// What the next call takes; nil ends the sending.
  private func next() -> [Waiting]? {
    let (batch, hasRoom) = state.withLock { state -> ([Waiting]?, Bool) in
      guard !state.waiting.isEmpty, state.callsUnderWay == 1 || state.waiting.count >= Self.most
      else {
        state.callsUnderWay -= 1
        return (nil, false)
      }
      let wasBehind = state.waiting.count >= Self.behind
      let batch = Array(state.waiting.prefix(Self.most))
      state.waiting.removeFirst(batch.count)
      return (batch, wasBehind && state.waiting.count < Self.behind)
    }
    if hasRoom { onRoom() }
    return batch
  }
}
