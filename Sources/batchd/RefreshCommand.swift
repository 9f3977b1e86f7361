internal import ArgumentParser
internal import Pipeline
internal import Queue
internal import Redis
internal import Stages

/// `batchd refresh PIPELINE --all-accounts`
struct RefreshCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "refresh",
    abstract: "Fetch the jobs of accounts anew: one operation over all of them.",
    discussion: """
      Enqueues a batch for each account of the configuration. It lists the account's jobs, those that \
      the results store knows or those that the service lists (a request for a hundred jobs, through \
      the account's gate), and makes batches of them. Accounts go on side by side, the batches of one \
      in order; an account without jobs is done at once.

      An account that is being refreshed already is left to the operation that does so, which is told: \
      to run the command twice doubles nothing. batchd-refresh@.timer runs it on a schedule.

        batchd refresh workiz --all-accounts
        batchd refresh workiz --account acme --account bolt --source api --since 2026-01-01 --closed
        batchd refresh workiz --all-accounts --wait
        redis-cli HGETALL batchd:progress:OPERATION:ACCOUNT

      Exit codes: 0 started or under way already (with --wait: completed), 1 with --wait otherwise, \
      64 wrong use, 69 Redis is away, 78 no such pipeline or account in the configuration.
      """)

  enum Source: String, ExpressibleByArgument, CaseIterable {
    case store, api
  }

  @Argument(help: "A pipeline whose setup is Workiz's.", completion: Names.refreshed)
  var pipeline: String

  @Flag(help: "Every account of the configuration.")
  var allAccounts = false

  @Option(
    help: "Only this account; may be given more than once.", completion: Names.configuredAccounts)
  var account: [String] = []

  @Option(help: "Where jobs are listed: store (those fetched or imported before) or api.")
  var source = Source.store

  @Option(help: "Jobs of one batch, 1 to 100 (default: workiz.batch_size).")
  var batchSize: Int?

  @Option(
    help: ArgumentHelp(
      "With --source api: jobs from this day on, like 2026-01-31 (default: the last 14 days).",
      valueName: "day"))
  var since: String?

  @Flag(help: "With --source api: jobs that are done or cancelled, too.")
  var closed = false

  @Flag(help: "Watch until the end.")
  var wait = false

  @OptionGroup var common: CommonOptions

  func validate() throws {
    guard allAccounts != !account.isEmpty else {
      throw ValidationError("say which accounts: --all-accounts, or --account NAME")
    }
    guard WorkizConfiguration.batchSizes.contains(batchSize ?? 1) else {
      throw ValidationError("--batch-size must be 1 to 100")
    }
    if let since, Timestamp(rfc3339: "\(since)T00:00:00Z") == nil {
      throw ValidationError("--since must be a day like 2026-01-31, not “\(since)”")
    }
    if source == .store, since != nil || closed {
      throw ValidationError(
        "--since and --closed choose among the jobs that the service lists: add --source api")
    }
  }

  func run() async throws {
    let configuration = try common.configuration()
    let accounts = try accounts(in: configuration)
    var routes = common.routes(configuration)
    let homes = try Dictionary(grouping: accounts) { account in
      try routes.prefix(ofAccount: account)
    }
    var failure: CommandError?
    for prefix in homes.keys.sorted() {
      do {
        _ = try await routes.control(of: prefix)
      } catch let error as RedisError where homes.count > 1 {
        failure = CommandError(error)
        Terminal.complain(
          "batchd: \(prefix): \(failure?.message ?? ""); not started for \(Self.list(homes[prefix] ?? [])): run it again later"
        )
      }
    }
    let controls = routes.controls
    if controls.isEmpty, let failure { throw failure }
    // What fails at once would be over before the watch begins.
    let before = try await WatchCommand.now(controls.map(\.control))
    let operation = try await operation(controls[0].control)
    var all = Started(accounts: [])
    var parts: [(prefix: String, names: [String])] = []
    for (prefix, control) in controls {
      let started = try await start(homes[prefix] ?? [], of: accounts, operation, control)
      parts.append((prefix, started.operations))
      all.merge(started)
    }
    let again = try common.repeated(configuration)
    try await report(all, controls.map(\.control), again: again)
    guard wait else {
      if let failure { throw ExitCode(failure.code.rawValue) }
      return
    }
    try await WatchCommand.watch(
      since: before, common: common, configuration, waitsForNames: true
    ) { [parts] in parts }
    if let failure { throw ExitCode(failure.code.rawValue) }
  }

  /// - Throws: `CommandError` for what the configuration does not have.
  private func accounts(in configuration: Configuration) throws -> [String] {
    let able = configuration.refreshedPipelines
    guard able.contains(pipeline) else {
      throw CommandError(
        .configuration,
        "pipeline \"\(pipeline)\" cannot be refreshed: its setup does not list jobs; those that can: \(able.isEmpty ? "none" : able.joined(separator: ", "))"
      )
    }
    let known = configuration.accounts.keys.sorted()
    guard !known.isEmpty else {
      throw CommandError(
        .configuration,
        "no account is configured; add [accounts.NAME] or accounts_dir to the file that --config names (default: \(Configuration.standardPath))"
      )
    }
    if let unknown = account.first(where: { !known.contains($0) }) {
      throw CommandError(
        .configuration,
        "account \"\(unknown)\" is not in the configuration; known: \(known.joined(separator: ", "))"
      )
    }
    return allAccounts ? known : Set(account).sorted()
  }

  private struct Started {
    /// nil when every account is being refreshed already.
    var operation: String?
    var accounts: [String]
    /// Account → the operation that refreshes it.
    var joined: [String: String] = [:]

    var operations: [String] {
      Set(joined.values).union(operation.map { [$0] } ?? []).sorted()
    }

    /// Adds the part of another prefix.
    mutating func merge(_ other: Started) {
      operation = operation ?? other.operation
      accounts = (accounts + other.accounts).sorted()
      joined.merge(other.joined) { $1 }
    }
  }

  /// The name of a new one.
  private func operation(_ control: Control) async throws -> String {
    let moment = "\(Timestamp(milliseconds: Int64(try await control.time())))"
      .filter { !"-:".contains($0) }
    return "refresh-\(pipeline)-\(moment)"
  }

  /// - Parameter all: the accounts under every prefix.
  private func start(
    _ accounts: [String], of all: [String], _ operation: String, _ control: Control
  ) async throws -> Started {
    var started = Started(operation: operation, accounts: accounts)
    while !started.accounts.isEmpty {
      let entries = entries(started.accounts, of: all, operation)
      let busy = try await control.refresh(pipeline, operation: operation, entries)
      if busy.isEmpty { return started }
      started.accounts.removeAll { busy[$0] != nil }
      started.joined.merge(busy) { $1 }
    }
    started.operation = nil
    return started
  }

  /// The envelopes; their number is the least that the operation will have, so that it does not end between two accounts.
  private func entries(
    _ accounts: [String], of all: [String], _ operation: String
  ) -> [Control.RefreshEntry] {
    accounts.map { account in
      // The ids of what it makes are longer: those of accounts with long names are numbered.
      let name = "\(operation).\(account)"
      let number = (all.firstIndex(of: account) ?? 0) + 1
      let id = name.utf8.count <= 96 ? name : "\(operation).\(number)"
      let envelope: JSON = .object([
        "id": .string(id), "operation": .string(operation), "pipeline": .string(pipeline),
        "account": .string(account), "size": .integer(Int64(accounts.count)),
        "payload": .object(["discover": discovery]),
      ])
      return .init(account: account, id: id, envelope: envelope.bytes)
    }
  }

  private var discovery: JSON {
    var members: [String: JSON] = ["source": .string(source.rawValue)]
    members["batch_size"] = batchSize.map { .integer(Int64($0)) }
    members["start_date"] = since.map { .string($0) }
    if closed { members["only_open"] = .bool(false) }
    return .object(members)
  }

  private struct Report: Encodable {
    let operation: String?
    let accounts: [String]
    let joined: [String: String]
    let workers: Int
    let watch: String
  }

  private func report(_ started: Started, _ controls: [Control], again: String) async throws {
    var counts: [Int] = []
    for control in controls { counts.append(try await control.workerCount()) }
    let workers = counts.min() ?? 0
    let names = started.operations
    let watch = "batchd watch \(names.joined(separator: " "))\(again)"
    for (operation, accounts) in Dictionary(
      grouping: started.joined.keys, by: { started.joined[$0]! }
    )
    .sorted(by: { $0.key < $1.key }) {
      Terminal.complain(
        "\(operation) is refreshing \(Self.list(accounts.sorted())) already: left to it")
    }
    if common.json {
      let report = Report(
        operation: started.operation, accounts: started.accounts, joined: started.joined,
        workers: workers, watch: watch)
      try await Terminal.write(try CommonOptions.json(report) + "\n")
    } else {
      try await Terminal.write(names.map { $0 + "\n" }.joined())
      if started.operation != nil {
        let accounts = Wording.count(started.accounts.count, "account", "accounts")
        let jobs =
          source == .store
          ? "the jobs that the store knows (--source api finds new ones)"
          : "the jobs that the service lists"
        Terminal.complain("started for \(accounts), \(jobs): \(Self.list(started.accounts))")
      }
      if !wait { Terminal.complain("watch it: \(watch)") }
    }
    for (control, count) in zip(controls, counts) where count == 0 {
      Terminal.complain(Wording.noWorker(control.keys))
    }
  }

  /// A few names, and how many more.
  private static func list(_ names: [String]) -> String {
    let shown = names.prefix(8).joined(separator: ", ")
    return names.count > 8 ? "\(shown) and \(names.count - 8) more" : shown
  }
}

extension Configuration {
  /// The pipelines whose setup lists an account's jobs.
  var refreshedPipelines: [String] {
    pipelines.filter { $0.value.stages[.setup]?.handler == .workiz }.keys.sorted()
  }
}
