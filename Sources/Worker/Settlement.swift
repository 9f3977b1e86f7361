internal import Queue

/// Sends finished stage jobs to Redis: those that finish while a call is under way leave together in the next.
actor Settlement {
  private struct Waiting {
    let finish: Queue.Finish
    let continuation: CheckedContinuation<Queue.Finished, any Error>
  }

  /// The most stage jobs of one call: bounds its time inside Redis.
  private static let most = 64

  private let queue: Queue
  private let leaseMilliseconds: Int
  private var waiting: [Waiting] = []
  private var isSending = false

  init(queue: Queue, leaseMilliseconds: Int) {
    self.queue = queue
    self.leaseMilliseconds = leaseMilliseconds
  }

  /// Settles one finished stage job. Not cancellable: what was done must be said.
  func finish(_ finish: Queue.Finish) async throws -> Queue.Finished {
    try await withCheckedThrowingContinuation { continuation in
      waiting.append(Waiting(finish: finish, continuation: continuation))
      guard !isSending else { return }
      isSending = true
      // A task of its own, for the one that happened to come first may be cancelled, and others wait with it.
      Task { await self.sendAll() }
    }
  }

  private func sendAll() async {
    while !waiting.isEmpty {
      let batch = Array(waiting.prefix(Self.most))
      waiting.removeFirst(batch.count)
      do {
        let answers = try await queue.finish(
          batch.map(\.finish), leaseMilliseconds: leaseMilliseconds)
        for (job, answer) in zip(batch, answers) { job.continuation.resume(returning: answer) }
      } catch {
        for job in batch { job.continuation.resume(throwing: error) }
      }
    }
    isSending = false
  }
}
