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
  }
}
