import Foundation
import GRDB
import Pipeline
import Redis
import Synchronization
import TestSupport
import Testing

/// Batches of an example, and what is to become of each.
struct ExampleLoad {
  struct Batch {
    let id: String
    let items: [JSON]
    /// Ids of the items that fail for good.
    var failing: Set<String> = []
    /// How many attempts fail.
    var retries: ClosedRange<Int> = 0...0

    var status: String {
      if failing.count == items.count { return "failed" }
      return failing.isEmpty ? "completed" : "completed_with_errors"
    }
  }

  static let operation = "example"
  private static let workers = 3

  let batches: [Batch]
  /// Whether its handlers are processes of their own.
  var startsCommands = true

  /// Enqueues all, and kills workers until all have ended.
  /// - Parameter meanwhile: runs beside them; ends before they do.
  func run(
    on site: ExampleSite, within limit: Duration,
    meanwhile: @escaping @Sendable () async throws -> Void = {}
  ) async throws {
    let start = ContinuousClock.now
    for some in stride(from: 0, to: batches.count, by: 100) {
      try await site.push(batches[some..<min(some + 100, batches.count)].map(entry))
    }
    let kills = RandomKills(workerCount: Self.workers, seed: 1) { try site.worker($0) }
    let watch = ExampleWatch(site)
    let killed = try await withThrowingTaskGroup(of: Int.self) { group in
      group.addTask { try await kills.run() }
      group.addTask { try await watch.run() }
      group.addTask {
        try await meanwhile()
        return 0
      }
      await eventually(within: limit, "all have ended, and the store knows") {
        let outbox = try await site.client.call(["XLEN", "batchd:ended"]).integer
        return try await site.hash("progress:\(Self.operation)")["finished_at"] != nil
          && outbox == 0
      }
      group.cancelAll()
      return try await group.reduce(0, +)
    }
    let seconds = (ContinuousClock.now - start) / .seconds(1)
    try await kills.stop()
    let crashes = try await QueueEvent.all(site.client).count { $0.name == "crashed" }
    print(
      "example: \(batches.count) batches in \(Int(seconds)) s, \(Double(batches.count) / seconds) a second;",
      "\(killed) kills, \(crashes) stage jobs under them")
    #expect(killed >= 3 && crashes > 0, "no kill met any work")
    let seen = watch.seen
    #expect(seen.problems == [] && seen.samples > 20)
    // Else the search for what is left over would find nothing whatever there is.
    #expect(seen.processes >= Self.workers + (startsCommands ? 1 : 0))
    try await expectEnds(site)
    try await expectNothingIsLeft(site)
  }

  private func entry(_ batch: Batch) -> JSON {
    .object([
      "id": .string(batch.id), "operation": .string(Self.operation), "items": .array(batch.items),
      "size": .integer(Int64(batches.count)),
    ])
  }

  private func expectEnds(_ site: ExampleSite) async throws {
    let rows = try site.rows("store.sqlite", "SELECT * FROM batch_processing_data")
    #expect(rows.count == batches.count)
    let ended = Dictionary(rows.map { ($0["batch"] as String, $0) }) { first, _ in first }
    for batch in batches {
      let row = try #require(ended[batch.id], "\(batch.id) has no end")
      let errors = try JSON(parsing: (row["errors"] as String).utf8).object ?? [:]
      #expect(row["status"] == batch.status, "\(row)")
      #expect(Set(errors.keys) == batch.failing, "\(row)")
      #expect(batch.retries.contains(row["retry_count"]), "\(row)")
      #expect(row["completed_items"] == batch.items.count - batch.failing.count, "\(row)")
      #expect(row["failed_items"] == batch.failing.count, "\(row)")
    }
    let progress = try await site.hash("progress:\(Self.operation)")
    var planned = ["total": batches.count, "pending": 0, "processing": 0, "retrying": 0]
    for status in ["completed", "completed_with_errors", "failed"] {
      planned[status] = batches.count { $0.status == status }
    }
    planned["items_total"] = batches.reduce(0) { $0 + $1.items.count }
    planned["items_failed"] = batches.reduce(0) { $0 + $1.failing.count }
    planned["items_done"] = planned["items_total"]! - planned["items_failed"]!
    for (field, count) in planned { #expect(progress[field] == "\(count)", "\(field)") }
    let stats = try await site.hash("stats")
    #expect(stats["admitted"] == "\(batches.count)")
    #expect(stats["duplicates"] == nil && stats["rejected"] == nil, "\(stats)")
  }

  private func expectNothingIsLeft(_ site: ExampleSite) async throws {
    let script = """
      local left = {}
      for _, key in ipairs(redis.call('KEYS', 'batchd:*')) do
        local kind = string.match(key, '^batchd:(%a+)')
        if string.find(' enqueue intake queue suspects delayed leases lanes lane rejected aside ', ' ' .. kind .. ' ') then
          left[#left + 1] = key
        end
      end
      return left
      """
    let left = try await site.client.call(["EVAL", .text(script), 0]).array ?? []
    #expect(left.isEmpty, "\(left.map { $0.text ?? "" })")
    await eventually("no process is left") { try site.processes().isEmpty }
  }
}

/// Looks at an example while its workers die.
final class ExampleWatch: Sendable {
  struct Seen {
    var samples = 0
    var problems: Set<String> = []
    /// The most at once.
    var processes = 0
  }

  private let site: ExampleSite
  private let state = Mutex(Seen())
  var seen: Seen { state.withLock { $0 } }

  init(_ site: ExampleSite) { self.site = site }

  /// Samples until it is cancelled.
  func run() async throws -> Int {
    let states = [
      "pending", "processing", "retrying", "completed", "completed_with_errors", "failed",
      "cancelled",
    ]
    while !Task.isCancelled {
      let progress = (try? await site.hash("progress:\(ExampleLoad.operation)")) ?? [:]
      let count = try site.processes().count
      let sum = states.reduce(0) { $0 + (Int(progress[$1] ?? "") ?? 0) }
      state.withLock { seen in
        seen.samples += 1
        seen.processes = max(seen.processes, count)
        if !progress.isEmpty, progress["total"] != "\(sum)" {
          seen.problems.insert("the counts sum to \(sum): \(progress)")
        }
      }
      try? await Task.sleep(for: .milliseconds(100))
    }
    return 0
  }
}
