import Glibc
import TestSupport
import Testing

extension ProcessTests {
  /// RELIABILITY, row 1: kill -9 before and after every call to Redis and every write to the store.
  @Suite struct KillPointTests {
    /// One worker name lives again and again, as systemd would start it. Each life ends at the first point at which none
    /// has ended before, until there is none left.
    @Test func aWorkerKilledAtEveryPointLosesNothing() async throws {
      let expected = try FailpointNames.all()
      #expect(
        try FailpointNames.writingFunctions() + 1
          == FailpointNames.storeWrites.union(FailpointNames.peopleWrites).count)
      try await Site.with(FailpointScenario.settings()) { site in
        var scenario = FailpointScenario(site)
        var lives = 0
        while !expected.isSubset(of: scenario.fired), scenario.rounds < 8 {
          if lives == 0 { try await scenario.enqueue() }
          lives += 1
          let worker = try scenario.worker("1", "kill")
          if await Self.ends(worker, scenario) { continue }
          // It found nothing to die at any more: what is left is passed by a worker that is told to stop.
          try await scenario.enqueue()
          await eventually("it fetches, or dies") {
            if !worker.isRunning { return true }
            return try await scenario.isFetching()
          }
          worker.send(SIGTERM)
          let status = await worker.exitStatus(within: .seconds(10))
          #expect(status == 0 || status == 137, "\(worker.output)")
        }
        let last = try site.worker("1")
        await eventually(within: .seconds(60), "all has ended") { try await scenario.hasEnded() }
        last.send(SIGTERM)
        #expect(await last.exitStatus(within: DrainTests.limit) == 0, "\(last.output)")
        try await scenario.expectAllIsRight()
        let fired = scenario.fired
        print(
          "killed at \(fired.intersection(expected).count) of \(expected.count) points,",
          "\(lives) lives, \(scenario.rounds) rounds")
        #expect(expected.subtracting(fired) == [], "never passed")
        #expect(
          fired.subtracting(expected).subtracting(FailpointNames.asides) == [],
          "not in the sources")
      }
    }

    /// Whether the worker died before all work had ended.
    private static func ends(_ worker: Program, _ scenario: FailpointScenario) async -> Bool {
      var hasEnded = false
      await eventually(within: .seconds(60), "the worker dies or all has ended") {
        if !worker.isRunning { return true }
        hasEnded = try await scenario.hasEnded()
        return hasEnded
      }
      guard !worker.isRunning else { return !hasEnded }
      let status = await worker.exitStatus()
      #expect(status == 137, "\(worker.output)")
      return true
    }
  }
}
