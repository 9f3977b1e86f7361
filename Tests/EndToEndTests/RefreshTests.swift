import Foundation
import Pipeline
import Redis
import Simulators
import TestSupport
import Testing

extension ProcessTests {
  /// `batchd refresh`: one operation over all accounts, from the service and then from the store; twice at once is one.
  @Suite struct RefreshTests {
    private func batchd(_ site: Site, _ arguments: String...) async throws -> (Int32?, String) {
      let program = try Program(
        "batchd", arguments + ["--config", site.configPath],
        output: "\(site.folder.path)/\(UInt32.random(in: 0 ... .max)).log")
      return (await program.exitStatus(within: .seconds(60)), program.output)
    }

    /// The operation among the lines of the command's answer.
    private func operation(_ output: String) throws -> String {
      try #require(
        output.split(separator: "\n").map(String.init).first {
          $0.wholeMatch(of: /refresh-workiz-[0-9TZ.]+/) != nil
        }, "\(output)")
    }

    @Test func everyJobOfEveryAccountIsFetchedOnceAnOperation() async throws {
      var settings = Site.Settings(accounts: 3, jobs: 23)
      settings.simulator.outage = nil
      try await Site.with(settings) { site in
        let (first, output) = try await batchd(site, "refresh", "workiz", "--all-accounts")
        #expect(first == 0 && output.contains("no worker is running"), "\(output)")
        let listed = try operation(output)
        // Nobody has taken it up yet: one alone, and all of them, join it.
        for words in [["--all-accounts"], ["--account", site.world.accounts[1].name]] {
          let program = try Program(
            "batchd", ["refresh", "workiz"] + words + ["--config", site.configPath],
            output: "\(site.folder.path)/join-\(words.count).log")
          #expect(await program.exitStatus(within: .seconds(20)) == 0)
          #expect(program.output.contains("\(listed) is refreshing"), "\(program.output)")
          #expect(try operation(program.output) == listed)
        }
        let waiting = try await site.client.call(["LLEN", "batchd:enqueue"]).integer
        #expect(waiting == site.world.accounts.count)
        let worker = try site.worker("1")
        await site.waitForEnd(of: [listed], within: .seconds(60))

        // The store knows nothing yet of what the service would list.
        #expect(try site.rows("SELECT * FROM jobs").isEmpty)
        #expect(try await site.hash("progress:\(listed)")["status"] == "completed")
        let (api, listing) = try await batchd(
          site, "refresh", "workiz", "--all-accounts", "--source", "api", "--since", "2026-01-01",
          "--closed", "--batch-size", "7", "--wait")
        let fetched = try operation(listing)
        let progress = try await site.hash("progress:\(fetched)")
        #expect((progress["items_failed"] == "0") == (api == 0), "\(listing)")
        await site.waitForEnd(of: [fetched], within: .seconds(30))
        try site.expectRowsAreRight()

        // Now it does, for all but an account that has nothing: that one is done at once.
        let (empty, full) = (site.world.accounts[0].name, site.world.accounts[1].name)
        try site.change("DELETE FROM jobs WHERE account = '\(empty)'")
        let known = try site.rows("SELECT uuid FROM jobs").count
        let (again, both) = try await batchd(
          site, "refresh", "workiz", "--all-accounts", "--wait", "--json")
        #expect(again == 0)
        let answer = try JSON(parsing: Array(both.split(separator: "\n")[0].utf8))
        let second = try #require(answer["operation"]?.string)
        #expect(
          answer["accounts"]?.array?.count == site.world.accounts.count
            && answer["joined"] == .object([:]))
        #expect(try await site.hash("progress:\(second)")["items_done"] == "\(known)")
        let nothing = try await site.hash("progress:\(second):\(empty)")
        #expect(nothing["status"] == "completed" && nothing["total_batches"] == "1")
        let some = try await site.hash("progress:\(second):\(full)")
        let rows = try site.rows("SELECT uuid FROM jobs WHERE account = '\(full)'").count
        #expect(some["total_batches"] == "\(1 + (rows + 9) / 10)")
        worker.send(SIGTERM)
        #expect(await worker.exitStatus(within: .seconds(10)) == 0)
      }
    }

    @Test func whatTheConfigurationDoesNotHaveIsNamed() async throws {
      try await Site.with(.init(jobs: 1)) { site in
        let account = site.world.accounts[0].name
        for (arguments, status, words) in [
          (["other", "--all-accounts"], 78, "those that can: workiz"),
          (["workiz", "--account", "nobody"], 78, "known: \(account)"),
          (["workiz"], 64, "--all-accounts"),
          (["workiz", "--all-accounts", "--account", account], 64, "--all-accounts"),
          (["workiz", "--all-accounts", "--closed"], 64, "--source api"),
        ] {
          let program = try Program(
            "batchd", ["refresh"] + arguments + ["--config", site.configPath],
            output: "\(site.folder.path)/\(arguments.joined()).log")
          #expect(await program.exitStatus(within: .seconds(20)) == Int32(status))
          #expect(program.output.contains(words), "\(program.output)")
        }
        #expect(try await site.client.call(["EXISTS", "batchd:enqueue"]).integer == 0)
      }
    }
  }
}
