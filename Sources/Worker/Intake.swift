internal import Logging
internal import Queue
internal import Redis

/// Turns entries of `batchd:enqueue` into batches.
struct Intake: Sendable {
  let queue: Queue
  let state: WorkerState
  let blocked: BlockedConnection
  let configuration: WorkerConfiguration
  let logger: Logger

  private static let entryCount = 64

  func run() async {
    while !Task.isCancelled {
      do {
        let entries = try await queue.intake(count: Self.entryCount)
        if state.setAdmissionWaitsForMemory(false) {
          logger.notice("Redis has memory again; admission goes on")
        }
        if entries.isEmpty {
          try await blocked.call {
            try await queue.awaitEntry(on: $0, milliseconds: configuration.fetchMilliseconds)
          }
        } else {
          try await admit(entries)
        }
      } catch {
        guard !Task.isCancelled else { break }
        if (error as? RedisError)?.serverCode == "OOM" {
          await waitForMemory()
          continue
        }
        let refused = (error as? RedisError)?.code == .server || error is QueueError
        if refused {
          logger.error("admission stops until the next beat", metadata: ["error": "\(error)"])
          await state.intake.wait()
        } else {
          await state.intake.wait(until: .now + .milliseconds(500))
        }
      }
    }
    await blocked.close()
  }

  /// Entries stay where they are; all that runs goes on, for only admission is refused by a full Redis.
  private func waitForMemory() async {
    if !state.setAdmissionWaitsForMemory(true) {
      logger.error(
        "Redis is full (maxmemory): new entries wait, running work goes on; raise maxmemory, or wait until batches end"
      )
    }
    await state.intake.wait(until: .now + .seconds(1))
  }

  private func admit(_ entries: [[UInt8]]) async throws {
    let answers = try await queue.admit(entries, defaultPipeline: configuration.defaultPipeline)
    let rejected = answers.filter { $0 == .rejected }.count
    if rejected > 0 {
      logger.warning(
        "entries were rejected; see LRANGE \(queue.keys.rejected) 0 -1",
        metadata: ["count": "\(rejected)"])
    }
  }
}
