import Foundation
import Glibc
import Pipeline
import Redis
import Simulators
import TestSupport
import Testing

extension ProcessTests {
  /// A worker that slept through the end of its lease.
  @Suite struct ZombieTests {
    @Test(arguments: [Stage.extraction, .persistence])
    func aWorkerThatSleptThroughItsLeaseChangesNothing(_ stage: Stage) async throws {
      var settings = Site.Settings(jobs: 300)
      settings.interval = stage == .extraction ? 20 : 1
      settings.worker += "\ngate_margin_ms = 5"
      try await Site.with(settings) { site in
        let account = site.world.accounts[0]
        let first = try site.worker("1")
        try await site.enqueue("b1", account: account.name, items: account.jobs.map(\.uuid))
        await eventually("the first worker has the batch") {
          try await site.hash("batch:b1")["place"] == "batchd:leases"
        }
        // Before the first one sleeps: it may do so with the store's lock in its hand.
        let second = try site.worker("2")
        await eventually("the second worker runs") { second.output.contains("worker started") }
        await eventually(within: .seconds(30), "\(stage) runs") {
          let batch = try await site.hash("batch:b1")
          return batch["stage"] == stage.rawValue && batch["place"] == "batchd:leases"
            && (stage != .extraction || Int(batch["items_done"]!)! > 20)
        }
        first.send(SIGSTOP)
        let old = try await site.hash("batch:b1")
        #expect(old["stage"] == stage.rawValue && old["worker"]!.hasSuffix("-1"))
        await eventually("the lease is taken over") {
          let batch = try await site.hash("batch:b1")
          return batch["place"] == "batchd:leases" && batch["fence"] != old["fence"]
        }
        try await Self.expectRefusals(site, old)
        first.send(SIGCONT)
        await eventually(within: .seconds(20), "the zombie has heard that it lost its lease") {
          Int(try await site.hash("worker:\(old["worker"]!)")["lost"] ?? "") ?? 0 > 0
        }
        await site.waitForEnd(of: ["b1"], within: .seconds(60))
        let progress = try await site.hash("progress:b1")
        #expect(progress["status"] == "completed_with_errors")
        #expect(progress["items_done"] == "300")
        #expect(progress["items_failed"] == "2", "the deleted jobs")
        try site.expectRowsAreRight()
        try Self.expectOneFetchEach(site)
        for worker in [first, second] {
          worker.send(SIGTERM)
          #expect(await worker.exitStatus(within: DrainTests.limit) == 0)
        }
      }
    }

    /// What the zombie may say when it wakes, said in its name while it sleeps: a process that wakes
    /// mostly notices by its own clock, before Redis has to refuse it.
    private static func expectRefusals(_ site: Site, _ old: [String: String]) async throws {
      let epoch = try #require(try await site.hash("meta")["epoch"])
      let (run, stage, fence) = (old["run"]!, old["stage"]!, old["fence"]!)
      let before = try await site.hash("batch:b1")
      func call(_ function: String, _ arguments: String...) async throws -> RedisValue {
        try await site.client.call(
          ["FCALL", .text("batchd_\(function)"), 1, "batchd", .text(epoch)]
            + arguments.map { .text($0) })
      }
      let checkpoint = try await call(
        "checkpoint", "b1", run, stage, fence, "3000", "0", "", "1", "ZZZZZZ", "done", "{}", "0")
      #expect(checkpoint.text == "lost")
      let finish = try await call("finish", "3000", "1", "b1", run, stage, fence, "0", "0", "")
      #expect(finish.array?.last?.text == "lost")
      #expect(try await call("fail", "b1", run, stage, fence, "", "no").text == "lost")
      #expect(try await call("snooze", "b1", run, stage, fence, "1", "no").text == "lost")
      let handBack = try await call("hand_back", "1", "b1", run, stage, fence)
      #expect(handBack.array?.first?.text == "lost")
      let gate = try await call("gate_take", "workiz:acme", "20", "5", "2000", "b1", fence)
      #expect(gate.array?.first?.text == "lost")
      let after = try await site.hash("batch:b1")
      for field in ["fence", "worker", "attempt", "retry_count"] {
        #expect(after[field] == before[field], "\(field)")
      }
      let items = try await Snapshot.take(site.client).checkpointed
      #expect(!items.contains("b1/ZZZZZZ"))
    }

    /// The request under way when the process fell asleep is the only one whose answer was lost.
    private static func expectOneFetchEach(_ site: Site) throws {
      let arrivals = try site.arrivals()
      #expect(arrivals.count - Set(arrivals.map(\.uuid)).count <= 1)
    }
  }
}
