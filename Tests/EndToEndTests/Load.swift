import Foundation
import Pipeline
import Redis
import Simulators
import Synchronization
import TestSupport
import Testing

/// Batches pushed one after the other while Redis comes and goes, with the client's own log of those for which
/// LPUSH has answered.
final class Load: Sendable {
  private static let itemCount = 5

  private struct State {
    var next = 0
    var accepted: Set<String> = []
  }

  private let site: Site
  private let parts: [(account: String, items: [String])]
  private let state = Mutex(State())

  /// One batch for five jobs of each account in turn, over and over.
  init(_ site: Site) {
    self.site = site
    let accounts = site.world.accounts.filter { !$0.jobs.isEmpty }
    let most = accounts.map(\.jobs.count).max() ?? 0
    parts = stride(from: 0, to: most, by: Self.itemCount).flatMap { start in
      accounts.filter { start < $0.jobs.count }.map { account in
        let end = min(start + Self.itemCount, account.jobs.count)
        return (account.name, account.jobs[start..<end].map(\.uuid))
      }
    }
  }

  /// The ids whose LPUSH was answered.
  var accepted: Set<String> { state.withLock { $0.accepted } }

  /// How many batches have every job of the world in them once.
  var roundCount: Int { parts.count }

  /// Pushes until it is cancelled, one batch per `pause`. One whose answer was lost is pushed again: it may be a
  /// duplicate.
  func run(every pause: Duration) async {
    while !Task.isCancelled {
      try? await push(state.withLock { $0.next })
      try? await Task.sleep(for: pause)
    }
  }

  /// Pushes what is missing of a whole round, and once more those of `absent`.
  func complete(_ absent: Set<String> = []) async throws {
    while state.withLock({ $0.next }) < roundCount { try await push(state.withLock { $0.next }) }
    for id in absent { try await push(Int(id.dropFirst())!) }
  }

  private func push(_ number: Int) async throws {
    let part = parts[number % parts.count]
    try await site.enqueue(
      "n\(number)", operation: "o1", account: part.account, items: part.items)
    state.withLock { state in
      state.next = max(state.next, number + 1)
      state.accepted.insert("n\(number)")
    }
  }

  /// Waits until everything that Redis knows of has ended and stands in the store.
  /// - Returns: the accepted batches of which Redis knows nothing.
  func settle(within limit: Duration) async -> Set<String> {
    let ids = accepted.sorted()
    var absent: Set<String> = []
    await eventually(within: limit, "everything has ended") {
      let lengths = [
        ["LLEN", "batchd:enqueue"], ["ZCARD", "batchd:leases"], ["XLEN", "batchd:ended"],
      ]
      for command in lengths {
        guard try await self.site.client.call(command.map { .text($0) }).integer == 0 else {
          return false
        }
      }
      absent = []
      for id in ids {
        let status = try await self.site.client.call([
          "HGET", .text("batchd:batch:\(id)"), "status",
        ])
        if status.isNull { absent.insert(id) }
        if !status.isNull, !["completed", "completed_with_errors"].contains(status.text) {
          return false
        }
      }
      return true
    }
    return absent
  }

  /// After the end: counts exact, nobody charged, every batch in the history, rows of a clean run.
  /// - Parameter hasForgotten: Redis lost something: a batch that ended before that may have a second life.
  func expectExact(_ site: Site, hasForgotten: Bool = false) async throws {
    #expect(try await Snapshot.take(site.client).problems == [])
    let charges = try await QueueEvent.all(site.client)
      .filter { ["crashed", "retrying"].contains($0.name) }
    #expect(charges.isEmpty, "\(charges)")
    let history = try site.rows(
      "SELECT batch || ' ' || status FROM batch_processing_data ORDER BY batch")
    let ended = history.map { String($0.prefix { $0 != " " }) }
    #expect(Set(ended).isSuperset(of: accepted))
    #expect(hasForgotten || ended.count == Set(ended).count)
    #expect(history.allSatisfy { $0.contains("completed") })
    #expect(try site.rows("SELECT count(*) FROM batches WHERE finished_at IS NULL") == ["0"])
    try site.expectRowsAreRight()
  }

  /// No fence was given twice, whatever each of these worlds remembers: what they share are the same events.
  static func expectFencesAreUnique(_ worlds: [[QueueEvent]]) {
    var holders: [String: String] = [:]
    for claim in worlds.joined() where claim.name == "claimed" {
      #expect(!claim.fence.isEmpty)
      let holder = "\(claim.id) \(claim.batch)"
      #expect(holders[claim.fence] ?? holder == holder, "fence \(claim.fence)")
      holders[claim.fence] = holder
    }
    #expect(holders.count > 10)
  }
}
