import Glibc
import Synchronization
import TestSupport
import Testing

extension ProcessTests {
  /// What systemd hears of a worker, sd_notify(3).
  @Suite struct ReadinessTests {
    /// Who waits for the service (a boot, an upgrade) need not wait for Redis.
    @Test func aWorkerIsReadyWithoutRedisAndSaysThatItWaits() async throws {
      try await TestWorkers.with([]) { workers in
        let socket = try NotifySocket("\(workers.folder.path)/notify")
        let heard = Mutex<[String]>([])
        @Sendable func hears(_ line: String) -> Bool {
          heard.withLock { lines in
            lines += socket.takeMessages()
            return lines.contains { $0.hasPrefix(line) }
          }
        }
        await workers.redis.stop()
        let worker = try workers.launch(
          "w1", environment: ["NOTIFY_SOCKET": socket.path, "WATCHDOG_USEC": "60000000"])
        await eventually(within: .seconds(10), "it is up") { hears("READY=1") }
        #expect(hears("STATUS=waiting for Redis: "))
        #expect(!hears("STATUS=running"))
        await eventually(within: .seconds(10), "it lives") { hears("WATCHDOG=1") }
        try await workers.redis.start()
        await eventually(within: .seconds(20), "it works") { hears("STATUS=running") }
        worker.send(SIGTERM)
        #expect(await worker.exitStatus(within: .seconds(10)) == 0, "\(worker.output)")
        #expect(hears("STOPPING=1"))
      }
    }

    @Test func aWorkerWithRedisIsReadyWhenItHasRegistered() async throws {
      try await TestWorkers.with([]) { workers in
        let socket = try NotifySocket("\(workers.folder.path)/notify")
        let worker = try await workers.start("w1", environment: ["NOTIFY_SOCKET": socket.path])
        var lines: [String] = []
        let deadline = ContinuousClock.now + .seconds(10)
        while !lines.contains("STATUS=running"), ContinuousClock.now < deadline {
          lines += socket.takeMessages()
          try await Task.sleep(for: .milliseconds(10))
        }
        #expect(lines.filter { $0 == "READY=1" }.count == 1)
        #expect(!lines.contains { $0.hasPrefix("STATUS=waiting") }, "\(lines)")
        await worker.killNow()
      }
    }

    /// Under several prefixes the service is as well as the worst of them, and one that has ended holds up none.
    @Test func severalPrefixesAreOneService() async throws {
      let redis = try await TestRedis()
      let place = TestWorkers.Place(
        redis: redis, url: redis.url, workerURL: redis.url, prefix: "one,two")
      try await TestWorkers.with(["drain_ms=3000"], place: place) { workers in
        let socket = try NotifySocket("\(workers.folder.path)/notify")
        let worker = try workers.launch(
          "w1", environment: ["NOTIFY_SOCKET": socket.path, "WATCHDOG_USEC": "600000"])
        var lines: [String] = []
        await eventually(within: .seconds(10), "both run") {
          lines += socket.takeMessages()
          return lines.contains("STATUS=one: running 0; two: running 0")
        }
        #expect(lines.filter { $0 == "READY=1" }.count == 1)
        _ = try await redis.cli(
          "LPUSH", "one:enqueue", #"{"id":"b","payload":{"do":"deaf"}}"#)
        await eventually(within: .seconds(10), "it runs") {
          try await redis.cli("HGET", "one:batch:b", "status") == "processing"
        }
        worker.send(SIGTERM)
        lines = []
        await eventually(within: .seconds(5), "two has said goodbye") {
          lines += socket.takeMessages()
          return try await redis.cli("ZCARD", "two:workers") == "0"
            && lines.contains("STOPPING=1")
        }
        lines = []
        await eventually(within: .seconds(3), "the watchdog hears of the rest") {
          lines += socket.takeMessages()
          return lines.count { $0 == "WATCHDOG=1" } >= 3
        }
        #expect(worker.isRunning)
        await worker.killNow()
      }
    }
  }
}
