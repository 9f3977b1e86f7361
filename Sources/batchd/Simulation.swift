internal import Foundation
internal import Subprocess

/// The Workiz simulator as `up` runs it.
struct Simulation: Sendable {
  let program: String
  let port: Int
  let intervalMilliseconds: Int
  /// Account and UUID of every job that can be fetched, in the simulator's order.
  let jobs: [(account: String, uuid: String)]
  private let arguments: [String]

  /// Asks the simulator which jobs it will serve.
  init(accounts: Int, jobs: Int, intervalMilliseconds: Int, faults: Double) async throws {
    program = try Programs.development()
    port = Int.random(in: 20_000..<30_000)
    self.intervalMilliseconds = intervalMilliseconds
    arguments = [
      "simulate", "workiz", "--accounts", "\(accounts)", "--jobs", "\(jobs)", "--interval-ms",
      "\(intervalMilliseconds)", "--faults", "\(faults)",
    ]
    let listing = try await Subprocess.run(
      .name("sh"),
      arguments: Arguments(["-c", #"exec "$0" "$@""#, program] + arguments + ["--list-jobs"]),
      output: .string(limit: 1 << 24))
    self.jobs = listing.standardOutput.split(separator: "\n").compactMap { line in
      let parts = line.split(separator: "\t").map(String.init)
      return parts.count == 3 && parts[2] != "deleted" ? (parts[0], parts[1]) : nil
    }
  }

  /// Points the pipeline at the simulator and gives it the accounts' made-up tokens.
  func apply(to configuration: inout Configuration, folder: String) throws {
    configuration.workiz.baseURL = "http://127.0.0.1:\(port)/api/v1"
    configuration.workiz.intervalMilliseconds = intervalMilliseconds
    for account in Set(jobs.map(\.account)).union(["empty"]) {
      let file = "\(folder)/\(account).token"
      try "sim-\(account)".write(toFile: file, atomically: true, encoding: .utf8)
      configuration.accounts[account] = .file(file)
    }
  }

  func process(folder: String) -> ChildProcess {
    ChildProcess(
      "the Workiz simulator", log: "\(folder)/simulator.log",
      command: [program] + arguments + [
        "--port", "\(port)", "--arrivals", "\(folder)/arrivals.ndjson",
      ])
  }
}
