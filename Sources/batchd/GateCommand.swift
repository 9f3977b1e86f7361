internal import ArgumentParser
internal import Coordination
internal import Foundation
internal import Pipeline
internal import Queue
internal import Redis

/// `batchd gate`: a rate limit, for handlers that send requests of their own.
struct GateCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "gate",
    abstract: "Ask a gate for a permission, or close it.",
    discussion: """
      For handlers that send several requests for one item: ask before each. Inside a handler the \
      configuration, the batch and its account are known from the environment (BATCHD_CONFIG, \
      BATCHD_BATCH, BATCHD_FENCE, BATCHD_ACCOUNT).

        batchd gate take vision && curl https://api.example.com/detect …
        batchd gate close vision --ms 30000 --reason "429 from example.com"
      """,
    subcommands: [GateTakeCommand.self, GateCloseCommand.self])
}

/// Which gate, and how it is reached.
struct GateOptions: ParsableArguments {
  @Argument(help: "A name in [gates] of the configuration.", completion: Names.configuredGates)
  var name: String

  @Option(
    help: "Of a gate with per_account = true, whose (default: $BATCHD_ACCOUNT).",
    completion: Names.accounts)
  var account: String?

  @OptionGroup var common: CommonOptions

  /// A process takes longer from its permission to the request than a worker does, and one time longer than another:
  /// permissions are this much further apart than the interval.
  private static let marginMilliseconds = 50
  private static let patienceMilliseconds = 2_000

  private static let environment = ProcessInfo.processInfo.environment

  func validate() throws {
    // It becomes part of a key in Redis.
    if let account, !Identifier.isValid(account) {
      throw ValidationError("--account must be \(Identifier.rule)")
    }
  }

  /// The batch and the fence of the handler around this command; empty without one, and under `batchd try`, whose
  /// handler holds no lease that could be lost.
  private static var holder: (batch: String, fence: String) {
    let fence = environment["BATCHD_FENCE"] ?? ""
    if fence == Trial.fence.description { return ("", "") }
    return (environment["BATCHD_BATCH"] ?? "", fence)
  }

  /// The key of the gate in Redis, as `batchd:gate:NAME` has it.
  func key(_ configuration: Configuration) throws -> String {
    guard let settings = configuration.gates[name] else {
      let known = configuration.gates.keys.sorted().joined(separator: ", ")
      throw CommandError(
        .configuration,
        "no gate \(name) in the configuration; "
          + (known.isEmpty ? "make it: [gates.\(tomlKey(name))]" : "known: \(known)"))
    }
    guard settings.isPerAccount else { return name }
    guard let account = account ?? Self.environment["BATCHD_ACCOUNT"], !account.isEmpty else {
      return name
    }
    return "\(name):\(account)"
  }

  func open() async throws -> Gate {
    var common = common
    common.config = common.config ?? Self.environment["BATCHD_CONFIG"]
    let configuration = try common.configuration()
    let key = try key(configuration)
    let home = common.prefix ?? configuration.prefixes.home(ofGate: key)
    // Only where the batch is, its lease can be looked at.
    let account = Self.environment["BATCHD_ACCOUNT"] ?? ""
    let isAtHome =
      configuration.prefixes.names.count == 1
      || !account.isEmpty && configuration.prefixes.home(of: account) == home
    let holder = isAtHome ? Self.holder : (batch: "", fence: "")
    let control = try await common.connect(configuration, to: home)
    return Gate(
      key, intervalMilliseconds: configuration.gates[name]?.intervalMilliseconds ?? 1_000,
      marginMilliseconds: max(
        configuration.worker.gateMarginMilliseconds, Self.marginMilliseconds),
      patienceMilliseconds: Self.patienceMilliseconds,
      batch: holder.batch, fence: holder.fence,
      line: GateLine(), clockKnownSince: { .now - .seconds(86_400) },
      call: { try await control.callUnderEpoch($0, $1) })
  }
}

/// `batchd gate take NAME`
struct GateTakeCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "take",
    abstract: "Wait for a permission to send one request, and end at that moment.",
    discussion: """
      Permissions are the gate's interval apart, over all workers and hosts, by Redis's clock. Send \
      the request at once when the command ends with 0.

        batchd gate take vision && curl https://api.example.com/detect …
        batchd gate take vision --wait-ms 5000 --account acme

      A Redis that is away is waited for.

      Exit codes: 0 send now, 75 not within --wait-ms, or the batch is this worker's no more: end \
      with 75 too.
      """)

  @Option(help: "How long to wait at most, in milliseconds (default: as long as it takes).")
  var waitMs: Int?

  @OptionGroup var gate: GateOptions

  func run() async throws {
    let start = ContinuousClock.now
    var opened: Gate?
    while true {
      let passage: Gate.Passage
      do {
        let asked = if let opened { opened } else { try await gate.open() }
        opened = asked
        passage = try await asked.pass()
      } catch let error as RedisError where SpoolDelivery.isAway(error) {
        opened = nil
        try await outlast(error, since: start)
        continue
      }
      switch passage {
      case .open:
        if gate.common.json {
          let waited = Int((ContinuousClock.now - start) / .milliseconds(1))
          try gate.common.answer("", ["waited_ms": waited])
        }
        return
      case .lost:
        throw CommandError(
          .temporary,
          "the batch is this worker's no more; end with exit code 75, nothing it does counts")
      case .closed(let milliseconds):
        let left = waitMs.map { Duration.milliseconds($0) - (ContinuousClock.now - start) }
        if let left, left < .milliseconds(milliseconds) {
          throw CommandError(
            .temporary,
            "gate \(gate.name) is closed for another \(milliseconds) ms; end with exit code 75 to be tried again, or wait longer (--wait-ms)"
          )
        }
        try await Task.sleep(for: .milliseconds(milliseconds))
      }
    }
  }

  /// Waits a moment for a Redis that is away: a handler that gave up would be charged for it.
  private func outlast(_ error: RedisError, since start: ContinuousClock.Instant) async throws {
    if let waitMs, ContinuousClock.now - start > .milliseconds(waitMs) {
      throw CommandError(.temporary, "\(error.message); end with exit code 75 to be tried again")
    }
    Terminal.complain("batchd: \(error.message); waiting")
    try await Task.sleep(for: .milliseconds(500))
  }
}

/// `batchd gate close NAME`
struct GateCloseCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "close",
    abstract: "Close a gate for everybody: the service asked for it (429, Retry-After).",
    discussion: """
        batchd gate close vision --ms 30000 --reason "429 from example.com"
      """)

  @Option(help: "For how many milliseconds, at most an hour.")
  var ms: Int

  @Option(help: "Why, as batchd:gate:NAME shows it.")
  var reason = "closed by hand"

  @OptionGroup var gate: GateOptions

  func validate() throws {
    guard (0...3_600_000).contains(ms) else {
      throw ValidationError("--ms must be 0 to 3600000 (an hour)")
    }
  }

  func run() async throws {
    try await gate.open().close(milliseconds: ms, reason: reason)
    try gate.common.answer("gate \(gate.name) is closed for \(ms) ms", ["closed_ms": ms])
  }
}
