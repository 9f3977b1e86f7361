import Foundation
import Glibc
import Simulators
import TestSupport
import Testing

extension ProcessTests {
  /// A worker's name: who has it, and what it gets back.
  @Suite struct RestartTests {
    /// From the start of the process, configuration and connection included, to the claim of each
    /// batch that the killed one ran. The best of three rounds counts: others use the machine too.
    @Test func aKilledWorkerHasItsWorkBackInUnderASecond() async throws {
      var settings = Site.Settings(jobs: 60)
      settings.interval = 50
      settings.worker = "lease_ms = 60000\nbeat_ms = 15000"
      try await Site.with(settings) { site in
        let account = site.world.accounts[0]
        try await site.enqueue("b1", account: account.name, items: account.jobs.map(\.uuid))
        var worker = try site.worker("1")
        var waits: [Int64] = []
        for round in 1...3 {
          await eventually("round \(round): items are fetched") {
            let batch = try await site.hash("batch:b1")
            return batch["place"] == "batchd:leases" && Int(batch["items_done"]!)! >= round * 5
          }
          await worker.killNow()
          let before = try await QueueEvent.all(site.client).count
          worker = try site.worker("1")
          var claim: QueueEvent?
          await eventually("round \(round): the batch is claimed again") {
            claim = try await QueueEvent.all(site.client).dropFirst(before)
              .first { $0.name == "claimed" && $0.batch == "b1" }
            return claim != nil
          }
          let start = Int64(worker.started.timeIntervalSince1970 * 1_000)
          waits.append(try #require(claim).milliseconds - start)
        }
        print("restart: work back after \(waits) ms")
        #expect(waits.min()! < 1_000, "\(waits)")
        await site.waitForEnd(of: ["b1"], within: .seconds(60))
        try site.expectRowsAreRight()
      }
    }

    @Test func aSecondProcessOfTheSameNameIsRefusedWithThePidOfTheFirst() async throws {
      try await Site.with(Site.Settings(jobs: 5)) { site in
        let first = try site.worker("1")
        await eventually("the first worker runs") { first.output.contains("worker started") }
        let second = try site.worker("1")
        #expect(await second.exitStatus(within: .seconds(10)) == 69)
        #expect(second.output.contains("pid \(first.pid)"), "\(second.output)")
        #expect(second.output.contains("--instance"), "\(second.output)")
        let other = try site.worker("2")
        await eventually("another name is free") { other.output.contains("worker started") }
        first.send(SIGTERM)
        #expect(await first.exitStatus(within: .seconds(10)) == 0)
        let heir = try site.worker("1")
        await eventually("the name is free again") { heir.output.contains("worker started") }
      }
    }

    /// The lock of the name does not hold: it is for one spelling. Each would take the other's work for a crash's, in turn,
    /// until the batches fail as poison.
    @Test func aSecondProcessThatSpellsRedisOtherwiseIsRefusedToo() async throws {
      var settings = Site.Settings(jobs: 20)
      settings.interval = 200
      try await Site.with(settings) { site in
        let account = site.world.accounts[0]
        try await site.enqueue("b1", account: account.name, items: account.jobs.map(\.uuid))
        let first = try site.worker("1")
        await eventually("the batch runs") {
          try await site.hash("batch:b1")["place"] == "batchd:leases"
        }
        let spelled = try String(contentsOfFile: site.configPath, encoding: .utf8)
          .replacing("unix:///", with: "unix:///./")
        let config = "\(site.folder.path)/spelled.toml"
        try Data(spelled.utf8).write(to: URL(filePath: config))
        let second = try Program(
          "batchd", ["work", "--config", config, "--instance", "1"],
          output: "\(site.folder.path)/spelled.log")
        #expect(await second.exitStatus(within: .seconds(15)) == 69)
        #expect(second.output.contains("pid \(first.pid)"), "\(second.output)")
        await site.waitForEnd(of: ["b1"], within: .seconds(60))
        #expect(first.isRunning, "\(first.output)")
        let events = try await QueueEvent.all(site.client)
        #expect(!events.contains { $0.name == "crashed" || $0.name == "handed_back" })
        try site.expectRowsAreRight()
      }
    }
  }
}
