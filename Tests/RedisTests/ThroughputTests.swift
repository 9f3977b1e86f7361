import Redis
import TestSupport
import Testing

@Suite struct ThroughputTests {
  /// Prints what the machine does; only that every call is answered is asserted.
  @Test(arguments: [1, 10, 50, 200]) func commandsPerSecond(tasks: Int) async throws {
    let redis = try await TestRedis()
    let calls = (tasks == 1 ? 2_000 : 40_000) / tasks
    try await withClient(redis.url) { client in
      _ = try await client.call(["PING"])
      let elapsed = try await ContinuousClock().measure {
        try await withThrowingTaskGroup(of: Void.self) { group in
          for _ in 0..<tasks {
            group.addTask {
              for _ in 0..<calls { _ = try await client.call(["INCR", "n"]) }
            }
          }
          try await group.waitForAll()
        }
      }
      #expect(try await client.call(["GET", "n"]).integer == tasks * calls)
      let rate = Double(tasks * calls) / (elapsed / .seconds(1))
      print("throughput: \(Int(rate)) commands/s with \(tasks) tasks")
    }
  }
}
