import Foundation
import TestSupport
import Testing

/// Gates for handlers that send requests of their own.
@Suite struct GateCommandTests {
  private func configuration(_ harness: CommandHarness) throws -> String {
    let file = "\(harness.redis.folder)/gates.toml"
    let text = """
      redis.url = "\(harness.redis.url)"
      [gates.api]
      interval_ms = 300
      [gates.each]
      per_account = true
      """
    try text.write(toFile: file, atomically: true, encoding: .utf8)
    return file
  }

  /// A handler that gave up at once would be charged for the outage.
  @Test func aRedisThatIsAwayIsWaitedFor() async throws {
    let harness = try await CommandHarness(redisArguments: ["--appendonly", "yes"])
    let file = try configuration(harness)
    try await harness.withWorker(handler: Handler { _, _ in nil }) {
      harness.redis.kill()
      let early = try await harness.command(
        ["gate", "take", "api", "--wait-ms", "600", "--config", file]
      ).outcome()
      #expect(early.status == 75, "\(early.complaint)")
      #expect(early.complaint.contains("; waiting"))
      let patient = try harness.command(["gate", "take", "api", "--config", file])
      try await harness.redis.start()
      let outcome = try await patient.outcome()
      #expect(outcome.status == 0, "\(outcome.complaint)")
    }
  }

  @Test func permissionsAreTheIntervalApartAndACloseHoldsForAll() async throws {
    let harness = try await CommandHarness()
    let file = try configuration(harness)
    func gate(_ arguments: String...) throws -> RunningCommand {
      try harness.command(["gate"] + arguments + ["--config", file])
    }
    let early = try await gate("take", "api").outcome()
    #expect(early.status == 65 && early.complaint.contains("no worker has run"))
    try await harness.withWorker(handler: Handler { _, _ in nil }) {
      let unknown = try await gate("take", "apo").outcome()
      #expect(unknown.status == 78 && unknown.complaint.contains("known: api, each"))
      let start = ContinuousClock.now
      let takers = try (0..<4).map { _ in try gate("take", "api") }
      for taker in takers {
        let outcome = try await taker.outcome()
        #expect(outcome.status == 0 && outcome.output == "", "\(outcome.complaint)")
      }
      #expect(ContinuousClock.now - start >= .milliseconds(3 * 300))
      #expect(
        try await gate("close", "api", "--ms", "60000", "--reason", "429").outcome().status == 0)
      #expect(try await harness.redis.cli("HGET", "batchd:gate:api", "reason") == "429")
      let closed = try await gate("take", "api", "--wait-ms", "100").outcome()
      #expect(closed.status == 75 && closed.complaint.contains("gate api is closed for another"))
      let other = try await gate("take", "each", "--account", "acme", "--json").outcome()
      #expect(other.status == 0 && other.output.hasPrefix(#"{"waited_ms":"#))
      #expect(try await harness.redis.cli("EXISTS", "batchd:gate:each:acme") == "1")
      let long = try await gate("close", "api", "--ms", "3600001").outcome()
      #expect(long.status == 64)
      for command in [["take", "each"], ["close", "each", "--ms", "1"]] {
        let odd = try await RunningCommand(
          ["gate"] + command + ["--account", "a:b", "--config", file], input: "",
          folder: harness.redis.folder
        ).outcome()
        #expect(odd.status == 64 && odd.complaint.contains("--account must be"))
      }
    }
  }

  /// A zombie's handler hears that nothing it does counts.
  @Test func aBatchThatIsAnothersGetsNoPermission() async throws {
    let harness = try await CommandHarness()
    let file = try configuration(harness)
    try await harness.withWorker(handler: Handler { _, _ in nil }) {
      let outcome = try await RunningCommand(
        ["gate", "take", "api", "--config", file], input: "", folder: harness.redis.folder,
        environment: ["BATCHD_BATCH": "b1", "BATCHD_FENCE": "1-1"]
      ).outcome()
      #expect(outcome.status == 75)
      #expect(outcome.complaint.contains("the batch is this worker's no more"))
      #expect(try await harness.redis.cli("EXISTS", "batchd:gate:api") == "0")
    }
  }

  /// Under `batchd try` there is no lease that could be lost.
  @Test func aHandlerThatIsTriedGetsItsPermission() async throws {
    let harness = try await CommandHarness()
    let file = try configuration(harness)
    let batchd = URL(filePath: CommandLine.arguments[0]).deletingLastPathComponent()
      .appending(path: "batchd").path
    let stage = """

      [pipelines.demo.setup]
      handler = "exec"
      command = ["\(batchd)", "gate", "take", "api"]
      """
    let text = try String(contentsOfFile: file, encoding: .utf8) + stage
    try text.write(toFile: file, atomically: true, encoding: .utf8)
    try await harness.withWorker(handler: Handler { _, _ in nil }) {
      let outcome = try await harness.command(["try", "demo.setup", "--config", file]).outcome()
      #expect(outcome.status == 0, "\(outcome.output) \(outcome.complaint)")
      #expect(try await harness.redis.cli("EXISTS", "batchd:gate:api") == "1")
    }
  }
}
