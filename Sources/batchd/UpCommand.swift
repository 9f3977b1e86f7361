internal import ArgumentParser
internal import Foundation
internal import Glibc
internal import Queue
internal import UnixSignals

/// `batchd up`: everything on one machine.
struct UpCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "up",
    abstract: "Run a Redis, workers and what they need on this machine, until Ctrl-C.",
    discussion: """
      Everything lives in one folder: Redis's socket and append-only file, the SQLite store, the \
      configuration of the workers, all logs. Starting again in the same folder goes on where it \
      stopped. A worker that dies is started again under its name.

      With --simulate the workers talk to the Workiz simulator instead of the service. With \
      --chaos, `up` enqueues batches itself, kills a worker with -9 every second while they run, \
      and ends with what became of every row.

        batchd up --simulate --dir ./trial
        batchd up --chaos
      """)

  @Option(
    help: "The folder (default: a new one below the temporary folder).", completion: .directory)
  var dir: String?

  @Option(
    help: "Where accounts and settings are taken from.", completion: .file(extensions: ["toml"]))
  var config: String?

  @Option(help: "How many workers (default: 1, with --chaos 4).")
  var workers: Int?

  @Flag(help: "Serve the Workiz API from the simulator.")
  var simulate = false

  @Flag(help: "Kill workers while batches run, and check every row at the end.")
  var chaos = false

  @Option(help: "Batches of ten that --chaos enqueues.")
  var batches = 24

  func validate() throws {
    guard (1...64).contains(workers ?? 1) else {
      throw ValidationError("--workers must be 1 to 64")
    }
    guard (1...2_000).contains(batches) else {
      throw ValidationError("--batches must be 1 to 2000")
    }
  }

  func run() async throws {
    var base = try config.map { try Configuration(file: $0) } ?? Configuration()
    // Its operation has a size, which would be waited for under each.
    if chaos { base.prefixes = Prefixes([base.prefixes.names[0]]) }
    let folder = URL(
      fileURLWithPath: dir ?? NSTemporaryDirectory() + "batchd-up-\(getpid())"
    ).standardizedFileURL.path
    let simulation = try await simulation()
    let stack = try Stack(
      folder: folder, base: base, workers: workers ?? (chaos ? 4 : 1), simulation: simulation)
    // A terminal that is closed must not leave Redis and workers behind; nohup means that it may.
    let stops: [UnixSignal] = Interrupt.ignoresHangup ? [] : [.sighup]
    // Who reads no more must not end it before its children.
    signal(SIGPIPE, SIG_IGN)
    let signals = await UnixSignalsSequence(trapping: stops + [.sigint, .sigterm])
    try await stack.run {
      if chaos, let simulation {
        try await ChaosRun(stack: stack, simulation: simulation, batches: batches).run(
          until: signals)
      } else {
        try await greet(stack)
        for await _ in signals { break }
        try? await Terminal.write("\nstopping: workers hand back what they have\n")
      }
    }
    if dir == nil { try? FileManager.default.removeItem(atPath: folder) }
  }

  private func simulation() async throws -> Simulation? {
    if chaos {
      let accounts = min(max(batches / 3, 1), 20)
      return try await Simulation(
        accounts: accounts, jobs: (batches * 10 + accounts - 1) / accounts + 10,
        intervalMilliseconds: 100, faults: 0.1)
    }
    guard simulate else { return nil }
    return try await Simulation(accounts: 3, jobs: 30, intervalMilliseconds: 1_000, faults: 0)
  }

  private func greet(_ stack: Stack) async throws {
    let redis = "redis-cli -s \(stack.socket)"
    let prefixes = stack.configuration.prefixes
    let keys = Keys(prefix: prefixes.home(of: "acme"))
    let isWorkiz = stack.configuration.defaultPipeline == Configuration.workizPipeline
    let entry = isWorkiz ? #""account":"acme","items":["A1B2C3"]"# : #""items":["A1"]"#
    let rows =
      isWorkiz ? "uuid, account, status FROM jobs" : "batch, status FROM batch_processing_data"
    try await Terminal.write(
      """
      batchd is up in \(stack.folder)
        enqueue   \(redis) LPUSH '\(keys.enqueue)' '{"id":"b1",\(entry)}'
        watch     \(redis) HGETALL '\(keys.progress("b1"))'
        bars      batchd watch --config \(stack.folder)/config.toml
        rows      sqlite3 \(stack.folder)/batchd.sqlite 'SELECT \(rows)'
        logs      \(stack.folder)/worker-1.log
      Ctrl-C stops it.

      """)
  }
}
