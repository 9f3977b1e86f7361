import Foundation
import GRDB
import Glibc
import Redis
import TestSupport
import Testing

@testable import enum TestSupport.ChildProcess

extension ProcessTests {
  /// RELIABILITY, row 15: what happens to a store under running workers, and that nobody is charged for it.
  @Suite struct StoreOutageTests {
    private static let isLong = ProcessInfo.processInfo.environment["BATCHD_LONG"] == "1"
    private static let rounds = isLong ? 5 : 1
    private static let batches = 6
    /// Items of a batch, and rows for each.
    private static let items = 4
    private static let copies = 50
    private static let upsert = "upsert(_:for:)"

    /// What is done to the store, and what is said about it.
    private enum Fault: String, CaseIterable {
      case full = "full"
      /// A worker sleeps in the middle of its transaction.
      case busy = "write lock"
      case away = "was removed or replaced"
      case unreadable = "tables are not as batchd made them"
    }

    @Test func nobodyIsChargedForTheStore() async throws {
      let disk = try await SmallDisk()
      // A lease longer than any of the sleeps: this is about the store.
      let settings = [
        "stage=persistence", "busy_ms=300", "lease_ms=20000", "event_count=1000000", "slots=64",
      ]
      try await TestWorkers.with(settings, storeFolder: disk.path) { workers in
        let programs = [try await workers.start("w1"), try await workers.start("w2")]
        var pushed = 0
        for round in 1...Self.rounds {
          for fault in Fault.allCases {
            try await Self.meet(fault, round, workers, programs, disk)
            pushed += Self.batches + (fault == .busy ? 1 : 0)
          }
          try await Self.killAfterCommit(round, workers)
          pushed += 1
        }
        await workers.waitFor("completed", of: "o", within: .seconds(120))
        try await Self.expectAllIsRight(workers, pushed: pushed)
        withExtendedLifetime(programs) {}
      }
    }

    /// Breaks the store, lets every batch of some meet that, and mends it.
    private static func meet(
      _ fault: Fault, _ round: Int, _ workers: TestWorkers, _ programs: [Program], _ disk: SmallDisk
    ) async throws {
      let name = "\(fault)\(round)"
      let ids = (1...batches).map { "\(name).\($0)" }
      let sleeper = fault == .busy ? try await sleeper(name, workers) : nil
      switch fault {
      case .full:
        // The log is reused from its beginning: a file of some size takes many more writes.
        try change(workers, "PRAGMA wal_checkpoint(TRUNCATE)")
        try await disk.fill(for: programs)
      case .busy: break
      case .away: try move(workers.storePath, workers.storePath + ".away")
      case .unreadable: try change(workers, "ALTER TABLE batches RENAME TO batches_away")
      }
      try await workers.push(ids.map(envelope))
      await eventually(within: .seconds(60), "\(name): they have met it") {
        let met = try await QueueEvent.all(workers.client).filter {
          $0.name == "snoozed" && $0.reason.contains(fault.rawValue)
        }
        // A worker that sleeps may keep one entry, which a call of its own that was blocked brought.
        return Set(ids).intersection(met.map(\.batch)).count >= batches - 1
      }
      switch fault {
      case .full: try await disk.empty(for: programs)
      case .busy:
        sleeper?.send(SIGCONT)
        await ended(name, workers)
        sleeper?.send(SIGTERM)
        #expect(await sleeper?.exitStatus(within: .seconds(20)) == 0)
      case .away: try move(workers.storePath + ".away", workers.storePath)
      case .unreadable: try change(workers, "ALTER TABLE batches_away RENAME TO batches")
      }
    }

    /// A third worker that has fallen asleep with rows written and not committed.
    private static func sleeper(_ name: String, _ workers: TestWorkers) async throws -> Program {
      try await alone(name, "stop", at: "\(upsert).within", workers) { $0.isStopped }
    }

    /// A worker that dies when its rows are committed and nobody knows: whoever runs the batch again finds them there.
    private static func killAfterCommit(_ round: Int, _ workers: TestWorkers) async throws {
      let id = "killed\(round)"
      let victim = try await alone(id, "kill", at: "\(upsert).after", workers) { !$0.isRunning }
      #expect(await victim.exitStatus() == 128 + SIGKILL)
      let query = "SELECT count(*), sum(unixepoch(updated_at)) FROM jobs WHERE batch = '\(id)'"
      let committed = try workers.row(query)
      #expect(committed[0] == items * copies, "\(committed)")
      let heir = try await workers.start("w3", ["pipelines=own"])
      await ended(id, workers)
      #expect(try workers.row(query) == committed, "written once")
      heir.send(SIGTERM)
      #expect(await heir.exitStatus(within: .seconds(20)) == 0)
    }

    /// Starts a third worker in which `action` happens at the point, with a batch that no other takes.
    private static func alone(
      _ name: String, _ action: String, at point: String, _ workers: TestWorkers,
      until hasHappened: @escaping (Program) -> Bool
    ) async throws -> Program {
      let program = try await workers.start(
        "w3", ["pipelines=own"],
        environment: [
          "BATCHD_FAILPOINT": action, "BATCHD_FAILPOINT_AT": point,
          "BATCHD_FAILPOINT_TRACE": "\(workers.folder.path)/trace-\(name)",
        ])
      try await workers.push([envelope("\(name)", pipeline: "own")])
      await eventually(within: .seconds(30), "\(name): it has happened") { hasHappened(program) }
      return program
    }

    private static func ended(_ id: String, _ workers: TestWorkers) async {
      await eventually(within: .seconds(60), "\(id) has ended") {
        try await workers.hash("batch:\(id)")["status"] == "completed"
      }
    }

    private static func envelope(_ id: String) -> String { envelope(id, pipeline: "demo") }

    private static func envelope(_ id: String, pipeline: String) -> String {
      let items = (1...items).map { "\"\(id).\($0)\"" }.joined(separator: ",")
      return
        #"{"id":"\#(id)","operation":"o","pipeline":"\#(pipeline)","items":[\#(items)],"payload":{"do":"write","rows":\#(copies)}}"#
    }

    private static func move(_ from: String, _ to: String) throws {
      try FileManager.default.moveItem(atPath: from, toPath: to)
    }

    private static func change(_ workers: TestWorkers, _ sql: String) throws {
      var configuration = Configuration()
      configuration.busyMode = .timeout(20)
      let queue = try DatabaseQueue(path: workers.storePath, configuration: configuration)
      try queue.writeWithoutTransaction { try $0.execute(sql: sql) }
    }

    private static func expectAllIsRight(_ workers: TestWorkers, pushed: Int) async throws {
      let events = try await QueueEvent.all(workers.client)
      // Who died was one worker's, and its one batch knows.
      let crashed = events.filter { $0.name == "crashed" }
      #expect(crashed.map(\.batch) == (1...rounds).map { "killed\($0)" })
      #expect(!events.contains { $0.name == "retrying" })
      let history = try workers.row(
        "SELECT count(*), count(DISTINCT batch), sum(status = 'completed'), sum(retry_count) FROM batch_processing_data"
      )
      #expect(history == [pushed, pushed, pushed, 0])
      let rows = try workers.row("SELECT count(*), count(DISTINCT uuid) FROM jobs")
      #expect(rows == [pushed * items * copies, pushed * items * copies])
      let snoozed = events.count { $0.name == "snoozed" }
      print(
        """
        row 15: \(pushed) batches met a store that was \(Fault.allCases.map { "\($0)" }.joined(separator: ", ")): \
        \(snoozed) waits, \(events.count { $0.name == "retrying" }) attempts charged, \(rows[0]) rows, \
        \(rounds) unknown commits found done
        """)
    }
  }
}
