import Simulators
import Testing

@Suite struct WorkizWorldTests {
  private func settings(seed: UInt64) -> WorkizSimulatorSettings {
    var settings = WorkizSimulatorSettings()
    settings.seed = seed
    settings.today = "2026-03-15"
    return settings
  }

  @Test func sameSeedSameWorld() throws {
    let worlds = try [7, 7, 8].map { try WorkizWorld(settings(seed: $0)) }
    #expect(worlds[0].accounts.map(\.jobs) == worlds[1].accounts.map(\.jobs))
    #expect(worlds[0].accounts.map(\.timezone) == worlds[1].accounts.map(\.timezone))
    #expect(worlds[0].accounts.map(\.jobs) != worlds[2].accounts.map(\.jobs))
  }

  /// Guards the numbers themselves: quickstarts name jobs of seed 1.
  @Test func uuidsDoNotDependOnTheDay() throws {
    var later = settings(seed: 1)
    later.today = "2027-01-01"
    let (one, two) = (try WorkizWorld(settings(seed: 1)), try WorkizWorld(later))
    #expect(one.accounts[0].jobs.map(\.uuid) == two.accounts[0].jobs.map(\.uuid))
    #expect(one.accounts[0].jobs[0].uuid == "93KAP7")
  }

  @Test func sameSeedSameDocumentsAndFaults() async throws {
    // The answers of 60 requests, faults among them, with the arrivals' order the only input.
    @Sendable func answers() async throws -> [String] {
      let box = Box()
      try await RunningSimulator.with(
        .testing {
          $0.faults = 0.5
          $0.intervalMilliseconds = 1
        }
      ) { simulator in
        let jobs = simulator.world.accounts[0].jobs
        for index in 0..<30 {
          let answer = try? await simulator.api("acme", "job/get/\(jobs[index % jobs.count].uuid)/")
          await box.append(answer.map { "\($0.status) \($0.body)" } ?? "dropped")
        }
      }
      return await box.texts
    }
    let first = try await answers()
    #expect(try await answers() == first)
    #expect(Set(first.map { $0.prefix(3) }).count > 3)
  }

  @Test func refusesSettingsOutOfRange() {
    for change: (inout WorkizSimulatorSettings) -> Void in [
      { $0.accounts = 0 }, { $0.jobs = -1 }, { $0.faults = 1.5 }, { $0.intervalMilliseconds = 0 },
      { $0.today = "tomorrow" }, { $0.port = 70_000 }, { $0.latencyMilliseconds = -1 },
    ] {
      var settings = WorkizSimulatorSettings()
      change(&settings)
      #expect(throws: SimulatorError.self) { try WorkizWorld(settings) }
    }
  }
}

actor Box {
  private(set) var texts: [String] = []
  func append(_ text: String) { texts.append(text) }
}
