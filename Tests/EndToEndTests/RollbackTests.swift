import Foundation
import Glibc
import Redis
import Simulators
import TestSupport
import Testing

extension ProcessTests {
  /// A Redis that comes back without its last two seconds, whose workers and store remember them.
  @Suite struct RollbackTests {
    /// The AOF loses its tail, in the middle of a command: a backup whose epoch is older than the store's. Of three
    /// workers one is asleep and meets the new epoch only when the others are long at work again.
    @Test func theLostTailOfAnAOFIsDerivedAgainOrVisiblyAbsent() async throws {
      var settings = Site.Settings(accounts: 8, jobs: 38)
      settings.interval = 10
      settings.redisArguments = [
        "--appendonly", "yes", "--appendfsync", "always", "--aof-load-truncated", "yes",
        "--auto-aof-rewrite-percentage", "0",
      ]
      try await Site.with(settings) { site in
        let workers = try ["1", "2", "3"].map { try site.worker($0) }
        for worker in workers {
          await eventually("it runs") { worker.output.contains("worker started") }
        }
        let load = Load(site)
        let aof = "\(site.redis.folder)/appendonlydir"
        let (kept, lost) = try await Self.loseTwoSeconds(site, load, aof: aof) {
          workers[2].send(SIGSTOP)
        }
        let back = ContinuousClock.now
        try await site.redis.start()
        try await Task.sleep(for: .seconds(3))
        workers[2].send(SIGCONT)
        let absent = await load.settle(within: .seconds(60))
        print(
          "AOF cut to \(kept) bytes, \(lost.byteCount) lost: of \(load.accepted.count) accepted",
          "\(absent.count) are absent; the rest ended \(ContinuousClock.now - back) after")
        #expect(try await site.hash("meta")["epoch"] == "3", "above what the store remembers")
        #expect(!absent.isEmpty && lost.byteCount > 10_000, "the cut must have cost something")
        try await Self.expectNoTrace(of: absent, site)
        try await load.complete(absent)
        #expect(await load.settle(within: .seconds(60)) == [])
        try await load.expectExact(site, hasForgotten: true)
        let world = try await Self.events(ofLostWorld: lost.folder)
        Load.expectFencesAreUnique([world, try await QueueEvent.all(site.client)])
        for worker in workers {
          worker.send(SIGTERM)
          #expect(await worker.exitStatus(within: DrainTests.limit) == 0, "\(worker.output)")
        }
      }
    }

    /// The AOF as it was before the cut.
    private struct LostWorld {
      let folder: TestFolder
      let byteCount: UInt64
    }

    /// Works for a while, then for two seconds that are cut off after a kill.
    private static func loseTwoSeconds(
      _ site: Site, _ load: Load, aof: String, beforeKill: () -> Void
    ) async throws -> (kept: UInt64, lost: LostWorld) {
      func newest() throws -> String {
        try FileManager.default.contentsOfDirectory(atPath: aof).filter {
          $0.hasSuffix(".incr.aof")
        }
        .sorted().last.map { "\(aof)/\($0)" } ?? ""
      }
      func size() throws -> UInt64 {
        let attributes = try FileManager.default.attributesOfItem(atPath: try newest())
        return attributes[.size] as? UInt64 ?? 0
      }
      let pushing = Task { await load.run(every: .milliseconds(40)) }
      await eventually(within: .seconds(30), "work is under way") {
        Int(try await site.hash("stats")["completed"] ?? "") ?? 0 > 10
      }
      let kept = try size()
      // A new epoch, which the store will remember and the cut will not.
      site.redis.kill()
      try await site.redis.start()
      try await Task.sleep(for: .seconds(2))
      await eventually("the store knows the epoch") {
        try site.rows("SELECT epoch FROM batchd_store") == ["2"]
      }
      beforeKill()
      site.redis.kill()
      pushing.cancel()
      await pushing.value
      let folder = try TestFolder()
      try FileManager.default.copyItem(atPath: aof, toPath: "\(folder.path)/appendonlydir")
      let full = try size()
      truncate(try newest(), Int(kept) + 5)
      return (kept, LostWorld(folder: folder, byteCount: full - kept))
    }

    /// What was given out before the loss, as a Redis of its own tells it.
    private static func events(ofLostWorld folder: TestFolder) async throws -> [QueueEvent] {
      let redis = try await TestRedis(arguments: ["--dir", folder.path, "--appendonly", "yes"])
      return try await QueueEvent.all(of: redis)
    }

    /// Absent means that nobody finds half of it.
    static func expectNoTrace(of ids: Set<String>, _ site: Site) async throws {
      for id in ids {
        for kind in ["batch", "input", "output", "errors", "items"] {
          let keys = try await site.client.call(["KEYS", .text("batchd:\(kind):\(id)")]).array
          #expect(keys == [], "\(id)")
        }
        #expect(try await site.client.call(["ZSCORE", "batchd:delayed", .text(id)]).isNull)
        let holders = try await site.hash("lanes").values
        #expect(!holders.contains(id))
      }
    }
  }
}
