import TestSupport
import Testing

extension ProcessTests {
  /// RELIABILITY, row 7: every error that Redis may answer for a while, at every call.
  @Suite struct RefusalTests {
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
