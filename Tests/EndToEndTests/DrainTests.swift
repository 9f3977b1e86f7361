import Foundation
import Glibc
import Pipeline
import Redis
import Simulators
import TestSupport
import Testing

extension ProcessTests {
  /// SIGTERM, as a deploy sends it.
  @Suite struct DrainTests {
    /// Far above what a drain takes (the handler's cancellation and two calls), for a machine that
    /// others use too; what it took is printed.
    static let limit = Duration.seconds(4)

    /// One batch meets a SIGTERM in five stages, each time another worker's. It is large, so that its
    /// pure stages take long enough to be met.
    @Test func aBatchIsHandedBackInEachStageAndGoesOnAfterItsLastCheckpoint() async throws {
      var settings = Site.Settings(jobs: 1_000)
      settings.interval = 1
      settings.worker = "gate_margin_ms = \(2 * Pace.slowness)"
      settings.simulator.latencyMilliseconds = 1
      try await Site.with(settings) { site in
        let account = site.world.accounts[0]
        let living = account.jobs.filter { $0.state != "deleted" }.map(\.uuid)
        try await site.enqueue("b1", account: account.name, items: living)
        var checkpointed: Set<String> = []
        for (index, stage) in Stage.allCases.dropFirst().enumerated() {
          let worker = try site.worker("\(index % 2 + 1)")
          await eventually(within: .seconds(60), "\(stage) runs") {
            try await Self.isUnderWay("b1", in: stage, at: site)
          }
          try await Self.terminate(worker, site, batch: "b1", in: stage)
          if stage == .extraction {
            checkpointed = Set(try await Snapshot.take(site.client).checkpointed)
            #expect(!checkpointed.isEmpty)
          }
        }
        let last = try site.worker("9")
        await site.waitForEnd(of: ["b1"], within: .seconds(60))
        #expect(try await site.hash("progress:b1")["status"] == "completed")
        try Self.expectNothingFetchedAgain(site, checkpointed.map { String($0.dropFirst(3)) })
        try site.expectRowsAreRight()
        last.send(SIGTERM)
        #expect(await last.exitStatus(within: Self.limit) == 0)
      }
    }

    /// Setup only takes time when it lists the account's jobs: five pages, one each 0.4 s.
    @Test func aDiscoveryIsHandedBackInSetupAndGoesOnAtItsPage() async throws {
      var settings = Site.Settings(jobs: 450)
      settings.interval = 400
      settings.worker = "gate_patience_ms = 2000"
      try await Site.with(settings) { site in
        let account = site.world.accounts[0].name
        try await site.enqueue("b1", operation: "o1", account: account, items: [], discover: true)
        let first = try site.worker("1")
        await eventually("two pages are listed") {
          try await site.hash("progress:o1")["total"].flatMap { Int($0) } ?? 0 > 20
        }
        try await Self.terminate(first, site, batch: "b1", in: .setup)
        let listed = try Arrival.pages(site.arrivalsPath)
        #expect((2...4).contains(listed))
        let second = try site.worker("2")
        await eventually("all pages are listed") {
          try await site.hash("batch:b1")["status"] == "completed"
        }
        // A page that was asked for but not checkpointed when the signal came is asked for again.
        #expect((5...6).contains(try Arrival.pages(site.arrivalsPath)))
        #expect(try await site.hash("progress:o1")["total"] == "46")
        #expect(try await site.hash("progress:o1")["items_total"] == "450")
        second.send(SIGTERM)
        #expect(await second.exitStatus(within: Self.limit) == 0)
      }
    }

    /// Redis stands still at some moment of a burst of claims and finished stages, the signal comes,
    /// and the answers only then: what they bring is handed back like what ran before.
    @Test func workThatArrivesAfterTheSignalIsHandedBack() async throws {
      var settings = Site.Settings(accounts: 20, jobs: 40)
      settings.interval = 200
      settings.worker = "drain_ms = 20000"
      try await Site.with(settings) { site in
        for round in 0..<30 {
          let worker = try site.worker("1")
          await eventually("the worker runs") { worker.output.contains("worker started") }
          for account in site.world.accounts where !account.jobs.isEmpty {
            try await site.enqueue(
              "b\(round)-\(account.name)", operation: "o\(round)", account: account.name,
              items: account.jobs.map(\.uuid))
          }
          try await Task.sleep(for: .microseconds(round * 300))
          site.redis.suspend()
          worker.send(SIGTERM)
          try await Task.sleep(for: .milliseconds(30))
          site.redis.resume()
          let status = await worker.exitStatus(within: Self.limit)
          #expect(status == 0, "round \(round): \(worker.output)")
          await worker.killNow()
          #expect(try await site.client.call(["ZCARD", "batchd:leases"]).integer == 0)
          try await Self.cancelAll(site)
        }
        try await Self.expectNothingCharged(site)
      }
    }

    /// A process manager sends SIGKILL when the drain limit is over; by then nothing may be left to lose. Four batches
    /// end at their cancellation, two do not look at it.
    @Test func aSignalThatCannotBeCaughtAtTheDrainLimitFindsNothingLeft() async throws {
      try await TestWorkers.with(["slots=8", "drain_ms=3000"]) { workers in
        let worker = try await workers.start("w1")
        let slow = (1...4).map { #"{"id":"slow\#($0)","payload":{"do":"slow","ms":600000}}"# }
        let deaf = (1...2).map { #"{"id":"deaf\#($0)","payload":{"do":"deaf"}}"# }
        try await workers.push(slow + deaf)
        await eventually("all run") {
          try await workers.client.call(["ZCARD", "batchd:leases"]).integer == 6
        }
        let sent = Int64(Date.now.timeIntervalSince1970 * 1_000)
        worker.send(SIGTERM)
        _ = await worker.exitStatus(within: .seconds(3))
        await worker.killNow()
        let last = try await workers.start("w2")
        await eventually("the slow ones go on elsewhere") {
          try await workers.client.call(["ZCARD", "batchd:leases"]).integer == 6
        }
        let events = try await QueueEvent.all(workers.client)
        let handedBack = events.filter { $0.name == "handed_back" }
        #expect(Set(handedBack.map(\.batch)).count == 6 && handedBack.count == 6)
        #expect(!events.contains { ["crashed", "retrying", "requeued"].contains($0.name) })
        let waits = handedBack.filter { $0.batch.hasPrefix("slow") }.map {
          $0.milliseconds - sent
        }
        print("row 8: SIGKILL at the drain limit: handed back after \(waits) ms")
        #expect(waits.allSatisfy { $0 <= 1_000 })
        await last.killNow()
      }
    }

    private static func cancelAll(_ site: Site) async throws {
      let operations = try await site.client.call(["ZRANGE", "batchd:operations", 0, -1])
      for operation in (operations.array ?? []).compactMap(\.text)
      where try await site.hash("progress:\(operation)")["finished_at"] == nil {
        let what = RedisArgument.text("operation:\(operation)")
        _ = try await site.client.call(["FCALL", "batchd_cancel", 1, "batchd", what])
      }
    }

    private static func isUnderWay(
      _ id: String, in stage: Stage, at site: Site
    ) async throws -> Bool {
      let batch = try await site.hash("batch:\(id)")
      guard batch["stage"] == stage.rawValue, batch["place"] == "batchd:leases" else {
        return false
      }
      return stage != .extraction || Int(batch["items_done"] ?? "") ?? 0 > 50
    }

    private static func terminate(
      _ worker: Program, _ site: Site, batch id: String, in stage: Stage
    ) async throws {
      let sent = ContinuousClock.now
      worker.send(SIGTERM)
      #expect(await worker.exitStatus(within: limit) == 0, "\(stage): \(worker.output)")
      print("SIGTERM in \(stage): ended after \(ContinuousClock.now - sent)")
      let batch = try await site.hash("batch:\(id)")
      #expect(batch["stage"] == stage.rawValue)
      #expect(batch["place"] == "batchd:queue:workiz:\(stage.rawValue)")
      #expect(batch["attempt"] == "1")
      #expect(batch["retry_count"] == "0")
      let last = try await QueueEvent.all(site.client).last { $0.batch == id }
      #expect(last?.name == "handed_back" && last?.stage == stage.rawValue)
      try await expectNothingCharged(site)
    }

    private static func expectNothingCharged(_ site: Site) async throws {
      let names = Set(try await QueueEvent.all(site.client).map(\.name))
      #expect(names.isDisjoint(with: ["crashed", "retrying", "requeued"]), "\(names)")
    }

    /// The request that the signal cut off, whose answer nobody kept, is the only one sent twice.
    private static func expectNothingFetchedAgain(_ site: Site, _ checkpointed: [String]) throws {
      let counts = Dictionary(try site.arrivals().map { ($0.uuid, 1) }, uniquingKeysWith: +)
      #expect(counts.values.filter { $0 > 1 }.reduce(0) { $0 + $1 - 1 } <= 1)
      for uuid in checkpointed { #expect(counts[uuid] == 1, "\(uuid)") }
    }
  }
}
