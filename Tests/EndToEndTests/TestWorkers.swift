import Foundation
import GRDB
import Logging
import Pipeline
import Redis
import TestSupport
import Testing

/// A private Redis and store, and processes of `TestWorker` on them, whose handlers do what a batch says.
final class TestWorkers: Sendable {
  let redis: TestRedis
  let client: RedisClient
  private let folder: TestFolder
  private let settings: [String]

  var storePath: String { "\(folder.path)/store.sqlite" }

  /// - Parameter settings: `KEY=VALUE` for each worker, see `TestWorker`.
  static func with(_ settings: [String], _ body: (TestWorkers) async throws -> Void) async throws {
    let workers = try await TestWorkers(settings)
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { try await workers.client.run() }
      try await body(workers)
      group.cancelAll()
      try await group.waitForAll()
    }
  }

  private init(_ settings: [String]) async throws {
    self.settings = settings
    folder = try TestFolder()
    redis = try await TestRedis()
    client = RedisClient(
      try RedisConfiguration(url: redis.url),
      logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
  }

  /// Starts a worker of that name and waits until it has registered.
  func start(_ name: String) async throws -> Program {
    let program = try Program(
      "TestWorker",
      ["redis=\(redis.url)", "store=\(storePath)", "name=\(name)", "log=warning"] + settings,
      output: "\(folder.path)/\(name).log")
    await eventually(within: .seconds(30), "\(name) has registered: \(program.output)") {
      try await self.client.call(["HGET", .text("batchd:worker:\(name)"), "pid"]).integer
        == Int(program.pid)
    }
    return program
  }

  func push(_ envelopes: [String]) async throws {
    _ = try await client.call(["LPUSH", "batchd:enqueue"] + envelopes.map { .text($0) })
  }

  /// `FCALL batchd_NAME 1 batchd …`
  @discardableResult
  func fcall(_ name: String, _ arguments: [RedisArgument]) async throws -> RedisValue {
    try await client.call(["FCALL", .text("batchd_\(name)"), 1, "batchd"] + arguments)
  }

  /// `batchd:stats`, as integers.
  func stats() async throws -> [String: Int] {
    let flat = try await client.call(["HGETALL", "batchd:stats"]).array ?? []
    return stride(from: 0, to: flat.count - 1, by: 2).reduce(into: [:]) {
      $0[flat[$1].text ?? ""] = flat[$1 + 1].integer
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
