import Foundation
import GRDB
import Glibc
import Logging
import Pipeline
import Redis
import Simulators
import TestSupport
import Testing

@testable import struct Simulators.WorkizWorld

/// Everything that workers need, private to one test: Redis, a folder with configuration, tokens and
/// store, and the simulator as a process of its own.
final class Site: Sendable {
  /// What a test chooses.
  struct Settings {
    var simulator = WorkizSimulatorSettings()
    var redisArguments: [String] = []
    /// Commands through which Redis and the simulator are started, see `Program`.
    var redisThrough: [String] = []
    var simulatorThrough: [String] = []
    /// The database that workers and test use, and lines of the table `redis`.
    var database = 0
    /// The PostgreSQL database that workers write to, rather than to a file of SQLite's.
    var storeURL: String?
    /// Lines of the worker's tables, beside what every test needs.
    var worker = "lease_ms = 3000\nbeat_ms = 500\nidle_beat_ms = 1000\ndrain_ms = 5000"
    /// Lines of the table `retry`.
    var retry = "backoff_ms = 200"
    /// Milliseconds between two requests of an account, as the workers have it.
    var interval = 20
    /// How the workers, and the test, reach Redis where that is not its own socket.
    var workerURL: String?
    var clientURL: String?

    init(accounts: Int = 1, jobs: Int) {
      simulator.accounts = accounts
      simulator.jobs = jobs
      simulator.limit = .none
      simulator.latencyMilliseconds = 0
      simulator.today = "2026-03-15"
    }
  }

  /// Of the user that workers are in Redis; nothing else contains it.
  static let password = "redis-password-canary"

  let redis: TestRedis
  let client: RedisClient
  let world: WorkizWorld
  private let simulator: Program
  /// Where the simulator listens.
  let workizURL: String
  let folder: TestFolder

  var configPath: String { "\(folder.path)/config.toml" }
  var storePath: String { "\(folder.path)/store.sqlite" }
  var arrivalsPath: String { "\(folder.path)/arrivals" }

  static func with(_ settings: Settings, _ body: (Site) async throws -> Void) async throws {
    let site = try await Site(settings)
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { try await site.client.run() }
      try await body(site)
      group.cancelAll()
      try await group.waitForAll()
    }
  }

  private init(_ settings: Settings) async throws {
    folder = try TestFolder()
    redis = try await TestRedis(
      arguments: settings.redisArguments + ["--user"]
        + Self.documentedUser(password: Self.password),
      through: settings.redisThrough)
    client = RedisClient(
      try RedisConfiguration(
        url: settings.clientURL ?? "\(redis.url)?db=\(settings.database)"),
      logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    world = try WorkizWorld(settings.simulator)
    simulator = try Self.simulator(settings, "\(folder.path)")
    let simulator = simulator
    var port: Substring = ""
    await eventually("the simulator listens") {
      port = simulator.output.firstMatch(of: /127\.0\.0\.1:(\d+)\/api/)?.1 ?? ""
      return !port.isEmpty
    }
    workizURL = "http://127.0.0.1:\(port)/api/v1"
    try configure(settings)
  }

  /// The rights of `deploy/redis.acl` as arguments of redis-server: what workers run as in all these tests.
  static func documentedUser(password: String) throws -> [String] {
    let file = URL(filePath: #filePath).deletingLastPathComponent()
      .appending(path: "../../deploy/redis.acl").standardizedFileURL
    let line = try String(contentsOf: file, encoding: .utf8)
    return line.split(whereSeparator: \.isWhitespace).dropFirst().map {
      $0 == ">CHANGE-THIS" ? ">\(password)" : String($0)
    }
  }

  private static func simulator(
    _ site: Settings, _ folder: String
  ) throws -> Program {
    let settings = site.simulator
    var options = [
      "--port": "0", "--seed": "\(settings.seed)", "--accounts": "\(settings.accounts)",
      "--jobs": "\(settings.jobs ?? 0)", "--today": settings.today,
      "--limit": settings.limit.rawValue, "--interval-ms": "\(settings.intervalMilliseconds)",
      "--faults": "\(settings.faults)", "--latency-ms": "\(settings.latencyMilliseconds)",
      "--arrivals": "\(folder)/arrivals",
    ]
    options["--outage"] = settings.outage
    return try Program(
      "batchd-dev", ["simulate", "workiz"] + options.flatMap { [$0.key, $0.value] },
      output: "\(folder)/simulator.log", through: site.simulatorThrough)
  }

  private func configure(_ settings: Settings) throws {
    var text = """
      [redis]
      url = "\(settings.workerURL ?? "\(redis.url)?db=\(settings.database)")"
      user = "batchd"
      password_file = "redis-password"
      call_timeout_ms = 1000
      [store]
      \(settings.storeURL.map { "url = \"\($0)\"" } ?? "path = \"store.sqlite\"")
      [worker]
      \(settings.worker)
      [limits]
      event_count = 1000000
      [retry]
      \(settings.retry)
      [workiz]
      base_url = "\(workizURL)"
      interval_ms = \(settings.interval)

      """
    for account in world.accounts {
      text += "[accounts.\(account.name)]\ntoken_file = \"token-\(account.name)\"\n"
      try Data(account.token.utf8).write(to: URL(filePath: "\(folder.path)/token-\(account.name)"))
    }
    try Data(Self.password.utf8).write(to: URL(filePath: "\(folder.path)/redis-password"))
    try Data(text.utf8).write(to: URL(filePath: configPath))
  }

  /// Starts `batchd work` under an instance name.
  func worker(
    _ name: String, _ options: String..., environment: [String: String] = [:]
  ) throws -> Program {
    try Program(
      "batchd", ["work", "--config", configPath, "--instance", name] + options,
      output: "\(folder.path)/\(name)-\(UInt32.random(in: 0 ... .max)).log",
      environment: environment)
  }

  /// Starts a worker whose pipelines, `pipelines=A,B` among the settings (see `TestWorker`), all have Workiz's stages: so
  /// that several batches of one account are under way at once.
  func testWorker(
    _ name: String, _ settings: [String], through: [String] = []
  ) throws -> Program {
    let own = ["redis=\(redis.url)", "store=\(storePath)", "name=\(name)", "workiz=\(workizURL)"]
    return try Program(
      "TestWorker", own + settings, output: "\(folder.path)/\(name).log", through: through)
  }

  /// Pushes a batch of jobs of one account.
  func enqueue(
    _ id: String, operation: String? = nil, pipeline: String? = nil, account: String,
    items: some Sequence<String>, discover: Bool = false
  ) async throws {
    var envelope: [String: JSON] = ["id": .string(id), "account": .string(account)]
    if let pipeline { envelope["pipeline"] = .string(pipeline) }
    if let operation { envelope["operation"] = .string(operation) }
    if discover {
      envelope["payload"] = .object([
        "discover": .object(["only_open": .bool(false), "start_date": .string("2026-01-01")])
      ])
    } else {
      envelope["items"] = .array(items.map { .string($0) })
    }
    _ = try await client.call(["LPUSH", "batchd:enqueue", .bytes(JSON.object(envelope).bytes)])
  }

  func hash(_ key: String) async throws -> [String: String] {
    let flat = try await client.call(["HGETALL", .text("batchd:\(key)")]).array ?? []
    return stride(from: 0, to: flat.count - 1, by: 2).reduce(into: [:]) {
      $0[flat[$1].text ?? ""] = flat[$1 + 1].text
    }
  }

  /// Waits until all the batches have ended and the store has acknowledged each.
  func waitForEnd(of operations: [String], within limit: Duration) async {
    await eventually(within: limit, "\(operations) have ended") {
      for operation in operations {
        if try await self.hash("progress:\(operation)")["finished_at"] == nil { return false }
      }
      return try await self.client.call(["XLEN", "batchd:ended"]).integer == 0
    }
  }

  func killSimulator() { simulator.send(SIGKILL) }

  /// Whether somebody holds the store's write lock at this moment.
  var isStoreLocked: Bool {
    do {
      try DatabaseQueue(path: storePath).inTransaction(.immediate) { _ in .rollback }
      return false
    } catch {
      return true
    }
  }

  func arrivals() throws -> [Arrival] { try Arrival.read(arrivalsPath) }

  /// Rows of the store as texts joined by bars.
  func rows(_ query: String) throws -> [String] {
    try DatabaseQueue(path: storePath).read { db in
      try Row.fetchAll(db, sql: query).map { row in
        row.databaseValues.map { String.fromDatabaseValue($0) ?? "\($0.storage.value ?? "")" }
          .joined(separator: "|")
      }
    }
  }

  /// Writes into the store as somebody else.
  func change(_ statement: String) throws {
    try DatabaseQueue(path: storePath).write { try $0.execute(sql: statement) }
  }

  /// Every living job of the world has one row, with the document that the simulator serves and with
  /// nothing of its own but the member `batchd`; no other row exists.
  func expectRowsAreRight(sourceLocation: SourceLocation = #_sourceLocation) throws {
    let rows = try rows("SELECT account, uuid, document FROM jobs")
    try expectAreRight(rows, sourceLocation: sourceLocation)
  }

  /// The same of rows `ACCOUNT|UUID|DOCUMENT` that somebody else has read.
  func expectAreRight(
    _ rows: [String], sourceLocation: SourceLocation = #_sourceLocation
  ) throws {
    var stored: [String: JSON] = [:]
    for row in rows {
      let parts = row.split(separator: "|", maxSplits: 2)
      var members = try JSON(parsing: parts[2].utf8).object ?? [:]
      #expect(members.removeValue(forKey: "batchd") != nil, sourceLocation: sourceLocation)
      stored["\(parts[0])/\(parts[1])"] = .object(members)
    }
    #expect(rows.count == stored.count, sourceLocation: sourceLocation)
    var served: [String: JSON] = [:]
    for account in world.accounts {
      for job in account.jobs where job.state != "deleted" {
        served["\(account.name)/\(job.uuid)"] = try JSON(
          parsing: world.document(of: job, in: account).bytes)
      }
    }
    #expect(Set(stored.keys) == Set(served.keys), sourceLocation: sourceLocation)
    for (key, document) in served {
      #expect(stored[key] == document, "\(key)", sourceLocation: sourceLocation)
    }
  }
}
