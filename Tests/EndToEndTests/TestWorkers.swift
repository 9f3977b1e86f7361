import Foundation
import GRDB
import Logging
import Pipeline
import Redis
import TestSupport
import Testing

/// A private Redis and store, and processes of `TestWorker` on them, whose handlers do what a batch says.
final class TestWorkers: Sendable {
  /// A Redis that is there already.
  struct Place {
    let redis: TestRedis
    /// How the test reaches it, and the workers.
    let url: String
    let workerURL: String
    let prefix: String
  }

  let redis: TestRedis
  let client: RedisClient
  let folder: TestFolder
  let storePath: String
  let prefix: String
  private let settings: [String]

  /// - Parameters:
  ///   - settings: `KEY=VALUE` for each worker, see `TestWorker`.
  ///   - storeFolder: where the store lies, if not in a folder of its own.
  ///   - place: the Redis, if not one of its own.
  static func with(
    _ settings: [String], storeFolder: String? = nil, place: Place? = nil,
    _ body: (TestWorkers) async throws -> Void
  ) async throws {
    let workers = try await TestWorkers(settings, storeFolder, place)
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { try await workers.client.run() }
      try await body(workers)
      group.cancelAll()
      try await group.waitForAll()
    }
  }

  private init(_ settings: [String], _ storeFolder: String?, _ place: Place?) async throws {
    folder = try TestFolder()
    storePath = "\(storeFolder ?? folder.path)/store.sqlite"
    redis = if let place { place.redis } else { try await TestRedis() }
    prefix = place?.prefix ?? "batchd"
    self.settings =
      ["redis=\(place?.workerURL ?? redis.url)", "prefix=\(prefix)", "store=\(storePath)"]
      + ["log=warning"] + settings
    var configuration = try RedisConfiguration(url: place?.url ?? redis.url)
    configuration.slotKey = prefix
    client = RedisClient(
      configuration, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
  }

  /// Starts a worker of that name, with `more` settings than all have.
  func launch(
    _ name: String, _ more: [String] = [], environment: [String: String] = [:],
    through: [String] = []
  ) throws -> Program {
    try Program(
      "TestWorker", settings + ["name=\(name)"] + more,
      output: "\(folder.path)/\(name).log", environment: environment, through: through)
  }

  /// Starts a worker of that name and waits until it has registered.
  func start(
    _ name: String, _ more: [String] = [], environment: [String: String] = [:]
  ) async throws -> Program {
    let program = try launch(name, more, environment: environment)
    await eventually(within: .seconds(30), "\(name) has registered: \(program.output)") {
      try await self.client.call(["HGET", .text("\(prefix):worker:\(name)"), "pid"]).integer
        == Int(program.pid)
    }
    return program
  }

  func push(_ envelopes: [String]) async throws {
    _ = try await client.call(["LPUSH", .text("\(prefix):enqueue")] + envelopes.map { .text($0) })
  }

  /// `FCALL batchd_NAME 1 batchd …`
  @discardableResult
  func fcall(_ name: String, _ arguments: [RedisArgument]) async throws -> RedisValue {
    try await client.call(["FCALL", .text("batchd_\(name)"), 1, .text(prefix)] + arguments)
  }

  /// `batchd:stats`, as integers.
  func stats() async throws -> [String: Int] {
    try await hash("stats").compactMapValues { Int($0) }
  }

  func hash(_ key: String) async throws -> [String: String] {
    let flat = try await client.call(["HGETALL", .text("\(prefix):\(key)")]).array ?? []
    return stride(from: 0, to: flat.count - 1, by: 2).reduce(into: [:]) {
      $0[flat[$1].text ?? ""] = flat[$1 + 1].text
    }
  }

  /// Waits until so many workers have registered.
  func waitForWorkers(_ count: Int) async {
    await eventually(within: .seconds(90), "\(count) workers have registered") {
      try await self.client.call(["ZCARD", .text("\(prefix):workers")]).integer == count
    }
  }

  /// Waits until the operation has that status, and everything that ended is in the store.
  func waitFor(_ status: String, of operation: String, within limit: Duration) async {
    await eventually(within: limit, "\(operation) is \(status)") {
      let outbox = try await self.client.call(["XLEN", .text("\(prefix):ended")]).integer
      return try await self.hash("progress:\(operation)")["status"] == status && outbox == 0
    }
  }

  /// A field of one section of INFO, as `used_memory`.
  func info(_ section: String, _ field: String) async throws -> Int? {
    let lines = (try await client.call(["INFO", .text(section)]).text ?? "").split(
      separator: "\r\n")
    return lines.first { $0.hasPrefix("\(field):") }.flatMap { Int($0.dropFirst(field.count + 1)) }
  }

  /// One row of the store, as integers.
  func row(_ query: String) throws -> [Int] {
    try DatabaseQueue(path: storePath).read { db in
      try Row.fetchAll(db, sql: query).flatMap { $0.databaseValues }.map {
        Int.fromDatabaseValue($0) ?? 0
      }
    }
  }
}

/// What a process holds of the machine.
struct Footprint: Sendable {
  let residentBytes: Int
  let descriptors: Int

  /// - Throws: when there is no such process (any more).
  init(_ program: Program) throws {
    let status = try String(contentsOfFile: "/proc/\(program.pid)/status", encoding: .utf8)
    let kibibytes = status.firstMatch(of: /VmRSS:\s+(\d+) kB/).flatMap { Int($0.1) }
    residentBytes = try #require(kibibytes) << 10
    descriptors = try FileManager.default
      .contentsOfDirectory(atPath: "/proc/\(program.pid)/fd").count
  }
}
