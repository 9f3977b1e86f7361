import Redis
import Synchronization
import TestSupport
import Testing

/// Batches pushed one after the other while the slot of their keys goes from node to node. One is accepted when LPUSH has
/// answered and the replica has it, so that no failover may lose it.
final class ClusterLoad: Sendable {
  static let count = 300
  /// Of a batch that takes its time; every third one does. The others write one row.
  private static let items = 3
  private static let accounts = 8

  private let workers: TestWorkers
  private let accepted = Atomic(0)
  /// LPUSH calls that were refused or whose answer was lost.
  private let repeats = Atomic(0)
  private let replicas = Atomic(1)

  init(_ workers: TestWorkers) { self.workers = workers }

  var acceptedCount: Int { accepted.load(ordering: .relaxed) }
  var repeatCount: Int { repeats.load(ordering: .relaxed) }

  /// The primary was killed: the one that follows it has nobody to copy to.
  func expectNoReplica() { replicas.store(0, ordering: .relaxed) }

  /// Pushes all of them. One that may have been lost is pushed again: it may be a duplicate.
  func run() async {
    var connection: RedisConnection?
    for number in 0..<Self.count {
      while !Task.isCancelled {
        do {
          if connection == nil { connection = try await workers.client.connect() }
          if try await push(number, on: connection!) {
            accepted.add(1, ordering: .relaxed)
            break
          }
        } catch {
          await connection?.close()
          connection = nil
        }
        repeats.add(1, ordering: .relaxed)
        try? await Task.sleep(for: .milliseconds(50))
      }
      try? await Task.sleep(for: .milliseconds(20))
    }
    await connection?.close()
  }

  private func push(_ number: Int, on connection: RedisConnection) async throws -> Bool {
    let work =
      number % 3 == 0
      ? #""items":["x","y","z"],"payload":{"do":"slow","ms":100}"#
      : #""items":["i\#(number)"],"payload":{"do":"write"}"#
    let envelope =
      #"{"id":"n\#(number)","operation":"o1","account":"a\#(number % Self.accounts)",\#(work)}"#
    let replies = try await connection.callAll([
      ["LPUSH", .text("\(workers.prefix):enqueue"), .text(envelope)],
      ["WAIT", .integer(replicas.load(ordering: .relaxed)), 1_000],
    ])
    for case .error(let error) in replies { throw error }
    return replies[1].integer ?? 0 >= replicas.load(ordering: .relaxed)
  }

  /// How many have ended.
  func ended() async throws -> Int {
    Int(try await workers.hash("progress:o1")["completed"] ?? "") ?? 0
  }

  /// After the end: every batch has completed, nobody was charged, the counts are exact, and so are the rows.
  /// - Parameter hasForgotten: Redis lost something: a batch that ended before that may have a second life.
  func expectExact(hasForgotten: Bool) async throws {
    let slow = (0..<Self.count).count { $0 % 3 == 0 }
    let progress = try await workers.hash("progress:o1")
    #expect(progress["total"] == "\(Self.count)" && progress["completed"] == "\(Self.count)")
    #expect(progress["items_done"] == "\(slow * Self.items + Self.count - slow)")
    let snapshot = try await Snapshot.take(workers.client, prefix: workers.prefix)
    #expect(snapshot.problems == [])
    let events = try await QueueEvent.all(workers.client, prefix: workers.prefix)
    let charges = events.filter { ["crashed", "retrying"].contains($0.name) }
    #expect(charges.isEmpty, "\(charges)")
    Load.expectFencesAreUnique([events])
    let history = try workers.row(
      "SELECT count(DISTINCT batch), count(*), sum(status != 'completed'), sum(retry_count) FROM batch_processing_data WHERE batch GLOB 'n*'"
    )
    #expect(history[0] == Self.count && history[2] == 0 && history[3] == 0, "\(history)")
    #expect(hasForgotten || history[1] == Self.count, "\(history)")
    let rows = try workers.row("SELECT count(*), count(DISTINCT uuid) FROM jobs")
    #expect(rows == [Self.count - slow, Self.count - slow])
  }
}
