import Foundation
import Redis
import Simulators
import TestSupport
import Testing

extension ProcessTests {
  /// Tokens stand in the paths of Workiz's addresses, and errors like to quote addresses.
  @Suite struct SecretTests {
    @Test func tokensAndPasswordsAreNowhere() async throws {
      var settings = Site.Settings(accounts: 2, jobs: 10)
      settings.simulator.faults = 0.2
      settings.redisArguments = ["--rdbcompression", "no"]
      try await Site.with(settings) { site in
        let workers = try ["text", "json"].map {
          try site.worker($0, "--log-level", "trace", "--log-format", $0)
        }
        for account in site.world.accounts {
          try await site.enqueue(
            "\(account.name)-1", account: account.name, items: account.jobs.map(\.uuid))
        }
        await site.waitForEnd(of: site.world.accounts.map { "\($0.name)-1" }, within: .seconds(60))
        site.killSimulator()
        let account = site.world.accounts[0]
        try await site.enqueue(
          "late", account: account.name, items: account.jobs.prefix(2).map(\.uuid))
        await eventually("a request without a service has failed") {
          try await site.hash("batch:late")["error"] != nil
        }
        let command = try Data(contentsOf: URL(filePath: "/proc/\(workers[0].pid)/cmdline"))
        for worker in workers { worker.send(SIGTERM) }
        for worker in workers { _ = await worker.exitStatus() }
        _ = try await site.redis.cli("SAVE")
        // Of two workers that leave at the same moment neither may be the last, who empties the log.
        var store = try Data(contentsOf: URL(filePath: site.storePath))
        store += (try? Data(contentsOf: URL(filePath: "\(site.storePath)-wal"))) ?? Data()
        let places = [
          ("argv", command), ("log", Data(workers[0].output.utf8)),
          ("the log in JSON", Data(workers[1].output.utf8)),
          ("Redis", try Data(contentsOf: URL(filePath: "\(site.redis.folder)/dump.rdb"))),
          ("store", store),
        ]
        let secrets = site.world.accounts.map(\.token) + [Site.password]
        for (place, bytes) in places {
          #expect(!bytes.isEmpty)
          for secret in secrets where bytes.range(of: Data(secret.utf8)) != nil {
            Issue.record("\(secret) stands in \(place)")
          }
        }
        // What is searched is not compressed or empty: ordinary words of the run are found.
        #expect(places[3].1.range(of: Data("late".utf8)) != nil)
        #expect(places[4].1.range(of: Data(account.jobs[0].uuid.utf8)) != nil)
      }
    }
  }
}
