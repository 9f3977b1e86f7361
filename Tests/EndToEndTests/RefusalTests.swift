import Glibc
import Redis
import TestSupport
import Testing

extension ProcessTests {
  /// RELIABILITY, row 7: every error that Redis may answer for a while, at every call.
  @Suite struct RefusalTests {
    /// Only the blocked fetch is forbidden: its refusal comes at once, and what is waited for would never come.
    @Test func aWorkerThatMayNotBlockFetchesAtItsBeats() async throws {
      try await Site.with(FailpointScenario.settings()) { site in
        _ = try await site.client.call(["ACL", "SETUSER", "batchd", "-blmove"])
        let worker = try site.worker("1")
        await eventually("it runs") { worker.output.contains("worker started") }
        func calls() async throws -> Int {
          let text = try await site.client.call(["INFO", "commandstats"]).text ?? ""
          return [/cmdstat_fcall:calls=(\d+)/, /cmdstat_blmove:.*rejected_calls=(\d+)/]
            .reduce(0) { $0 + (text.firstMatch(of: $1).flatMap { Int($0.1) } ?? 0) }
        }
        let before = try await calls()
        try await Task.sleep(for: .seconds(3))
        let sent = try await calls() - before
        print("blocked fetch forbidden: \(sent) calls in 3 s, ten beats")
        // At each beat: the beat; for each of seven lists a claim, a refused fetch and the two calls of its new connection.
        #expect(sent > 0 && sent < 20 * 29, "\(sent)")
        #expect(worker.output.contains("fetching stops until the next beat"))
        #expect(worker.output.contains("admission stops until the next beat"))
        var scenario = FailpointScenario(site)
        try await scenario.enqueue()
        await eventually(within: .seconds(30), "it works all the same") {
          try await scenario.hasEnded()
        }
        worker.send(SIGTERM)
        #expect(await worker.exitStatus(within: DrainTests.limit) == 0, "\(worker.output)")
        try await scenario.expectAllIsRight()
      }
    }

    /// How long each call is refused, from its first time on.
    private static let milliseconds = 300
    /// Far above what waiting callers send in that time, six fetchers among them; a loop that spins sends thousands.
    private static let mostCalls = 60

    static let errors = [
      "READONLY You can't write against a read only replica.",
      "LOADING Redis is loading the dataset in memory",
      "BUSY Redis is busy running a script.",
      "OOM command not allowed when used memory > 'maxmemory'.",
      "MISCONF Redis is configured to save RDB snapshots, but it's unable to persist to disk.",
      "NOPERM User worker has no permissions to run the command",
      "ERR Function not found",
    ]

    @Test func noErrorOfRedisIsChargedOrMakesALoopSpin() async throws {
      let lines = try await withThrowingTaskGroup(of: String.self) { sites in
        for error in Self.errors { sites.addTask { try await Self.refuse(error) } }
        return try await sites.reduce(into: []) { $0.append($1) }
      }
      print(lines.sorted().joined(separator: "\n"))
    }

    private static func refuse(_ error: String) async throws -> String {
      let isFunction = error.hasPrefix("ERR Function")
      let calls = try isFunction ? FailpointNames.functions() : FailpointNames.calls()
      var line = ""
      try await Site.with(FailpointScenario.settings(leaseMilliseconds: 15_000)) { site in
        var scenario = FailpointScenario(site)
        try await scenario.run(
          "refuse \(milliseconds) \(error)", at: calls.map { "\($0).before" })
        var refused: [String: Int] = [:]
        for point in scenario.traced { refused[point, default: 0] += 1 }
        let missing = calls.filter { refused["\($0).before"] == nil }
        #expect(missing == [], "\(error): never refused")
        let most = refused.max { $0.value < $1.value }!
        #expect(most.value <= mostCalls, "\(error): \(refused)")
        line =
          "\(error.prefix { $0 != " " }) refused \(calls.count - missing.count) of \(calls.count)"
          + " calls, at most \(most.value) times (\(most.key))"
      }
      return line
    }
  }
}
