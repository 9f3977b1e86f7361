internal import Logging
internal import Queue
internal import Redis

/// Turns entries of `batchd:enqueue` into batches.
struct Intake: Sendable {
  let queue: Queue
  let state: WorkerState
  let blocked: BlockedConnection
  /// Of the first stages, by pipeline.
  let fetchers: [String: StageFetcher]
  let configuration: WorkerConfiguration
  let logger: Logger

  private static let entryCount = 64
  /// Fewer entries of fewer bytes are all that the intake held: batchd_intake shows more of both.
  private static let entryBytes = 1 << 20

  func run() async {
    var isIntakeEmpty = false
    var entries: [[UInt8]] = []
    while !Task.isCancelled {
      do {
        if entries.isEmpty {
          entries = try await isIntakeEmpty ? awaitEntries() : takeEntries()
          // A wait that ended in vain may have ended by an error, which only the plain call tells.
          isIntakeEmpty = entries.isEmpty && !isIntakeEmpty
        } else {
          entries = try await admit(entries)
          isIntakeEmpty = entries.isEmpty
        }
      } catch {
        entries = []
        isIntakeEmpty = false
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

  private func takeEntries() async throws -> [[UInt8]] {
    let entries = try await queue.intake(count: Self.entryCount)
    if state.setAdmissionWaitsForMemory(false) {
      logger.notice("Redis has memory again; admission goes on")
    }
    return entries
  }

  private func awaitEntries() async throws -> [[UInt8]] {
    try await blocked.call {
      try await queue.awaitEntries(
        count: Self.entryCount, on: $0, milliseconds: configuration.fetchMilliseconds)
    }
  }

  /// - Returns: the next entries.
  private func admit(_ entries: [[UInt8]]) async throws -> [[UInt8]] {
    let isAll =
      entries.count < Self.entryCount && entries.reduce(0) { $0 + $1.count } < Self.entryBytes
    let checked = try queue.check(entries, defaultPipeline: configuration.defaultPipeline)
    // What follows the admission is on its way together with it: the next entries, and claims, for the fetcher that waits
    // would hear of the batches a round trip later.
    async let admission = queue.admit(checked)
    async let next = isAll ? [] : takeEntries()
    await withDiscardingTaskGroup { claims in
      for (pipeline, count) in checked.startable {
        if let fetcher = fetchers[pipeline] {
          claims.addTask { await fetcher.claimAdmitted(count) }
        }
      }
    }
    let rejected = try await admission.filter { $0 == .rejected }.count
    if rejected > 0 {
      logger.warning(
        "entries were rejected; batchd rejected shows them",
        metadata: ["count": .stringConvertible(rejected)])
    }
    return try await next
  }
}
