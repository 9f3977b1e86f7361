import TestSupport
import Testing

extension ProcessTests {
  /// RELIABILITY, row 2: the function has run, its reply is lost with the connection, the call is repeated.
  @Suite struct LostReplyTests {
    /// What a repeat answers otherwise, as their headers say: it shows what time or others have changed since, or that
    /// there is nothing left to do.
    private static let movesOn: Set<String> = [
      "tick", "renew", "gate_take", "gate_confirm", "gate_close", "recover", "archive", "admit",
    ]

    @Test func aRepeatedCallAnswersAlikeAndDoesNothingTwice() async throws {
      let calls = try FailpointNames.calls()
      try await Site.with(FailpointScenario.settings(leaseMilliseconds: 15_000)) { site in
        var scenario = FailpointScenario(site)
        try await scenario.run("drop")
        let fired = scenario.fired
        let lost = calls.filter { fired.contains("\($0).after") }
        #expect(calls.subtracting(lost) == [], "no reply was lost")
        var answers: [String: String] = [:]
        for line in scenario.traced {
          let parts = line.split(separator: "\t").map(String.init)
          if parts.count == 2 { answers[String(parts[0].dropLast(".repeat".count))] = parts[1] }
        }
        let functions = try FailpointNames.functions()
        #expect(functions.subtracting(answers.keys) == [], "never repeated")
        for name in functions.subtracting(Self.movesOn) {
          #expect(answers[name] == "same", "\(name)")
        }
        print(
          "lost the replies to \(lost.count) of \(calls.count) calls; of \(functions.count) functions",
          "\(functions.count { answers[$0] == "same" }) answered the repeat alike; others:",
          answers.filter { functions.contains($0.key) && $0.value != "same" })
      }
    }
  }
}
