public import ArgumentParser
import Foundation
public import Simulators

extension WorkizSimulatorSettings.Limit: ExpressibleByArgument {}
extension WorkizSimulatorSettings.OffsetUnit: ExpressibleByArgument {}

struct SimulateWorkiz: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "workiz", abstract: "Serve a simulated Workiz API.",
    discussion: """
      The same seed, counts and day give the same accounts, jobs and faults. Limits count per \
      token. With --list-jobs it prints ACCOUNT, UUID and state (open, closed, deleted) of every \
      job, one a line, and ends.
      """)

  @Option(help: "Address to listen on.") var host = "127.0.0.1"
  @Option(help: "Port to listen on; 0 picks a free one.") var port = 8089
  @Option(help: "What accounts, jobs and faults derive from.") var seed: UInt64 = 1
  @Option(help: "Accounts with jobs; one more, 'empty', has none.") var accounts = 3
  @Option(help: "Jobs of each account (default: 20 to 60, by seed). Two deleted ones come on top.")
  var jobs: Int?
  @Option(help: "The day around which the jobs lie, yyyy-MM-dd (default: today, UTC).")
  var today: String?
  @Option(help: "Request limit per token: strict, bucket (of 30), both or none.")
  var limit = WorkizSimulatorSettings.Limit.strict
  @Option(help: "Milliseconds between two requests of one token.") var intervalMs = 1_000
  @Option(help: "Share of the requests that fail, 0 to 1, in every way the simulator knows.")
  var faults = 0.0
  @Option(help: "An account whose every request is answered with 503.") var outage: String?
  @Option(help: "Mean milliseconds to an answer.") var latencyMs = 20
  @Option(help: "What 'offset' of job/all counts: records or pages.")
  var offsetUnit = WorkizSimulatorSettings.OffsetUnit.records
  @Option(help: "Write every arrival to this file as a line of JSON, replacing the file.")
  var arrivals: String?
  @Flag(help: "Print every job's account, UUID and state, and end.") var listJobs = false

  func run() async throws {
    var settings = WorkizSimulatorSettings()
    settings.host = host
    settings.port = port
    settings.seed = seed
    settings.accounts = accounts
    settings.jobs = jobs
    settings.limit = limit
    settings.intervalMilliseconds = intervalMs
    settings.faults = faults
    settings.outage = outage
    settings.latencyMilliseconds = latencyMs
    settings.offsetUnit = offsetUnit
    settings.today = today ?? settings.today
    if listJobs { return try Self.list(WorkizWorld(settings)) }
    settings.arrivalsPath = arrivals
    let simulator = try WorkizSimulator(settings)
    try await simulator.runService { port in Self.greet(simulator, port) }
  }

  private static func list(_ world: WorkizWorld) {
    for account in world.accounts {
      for job in account.jobs { print(account.name, job.uuid, job.state, separator: "\t") }
    }
  }

  /// Written past stdio's buffer: whoever waits for the first line through a pipe gets it at once.
  private static func greet(_ simulator: WorkizSimulator, _ port: Int) {
    let base = "http://\(simulator.settings.host):\(port)/api/v1"
    let first = simulator.world.accounts[0]
    let job = first.jobs.first?.uuid ?? "A1B2C3"
    let tokens = simulator.world.accounts.prefix(21).map { account in
      "  \(account.token)  \(account.jobs.count { $0.deletion == nil }) jobs, \(account.timezone)"
    }
    let more = simulator.world.accounts.count - tokens.count
    let text = """
      Workiz simulator listening on \(base)
      Limit \(simulator.settings.limit.rawValue), \(simulator.settings.intervalMilliseconds) ms, \
      faults \(simulator.settings.faults), seed \(simulator.world.seed). Tokens:
      \(tokens.joined(separator: "\n"))\(more > 0 ? "\n  … and \(more) more" : "")
      Try:
        curl '\(base)/\(first.token)/job/all/?records=2&only_open=false'
        curl \(base)/\(first.token)/job/get/\(job)/
        curl http://\(simulator.settings.host):\(port)/_simulator/summary

      """
    try? FileHandle.standardOutput.write(contentsOf: Data(text.utf8))
  }
}
