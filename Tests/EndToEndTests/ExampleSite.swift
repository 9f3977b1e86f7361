import Foundation
import GRDB
import Logging
import Pipeline
import Redis
import Synchronization
import TestSupport
import Testing

@testable import class TestSupport.BoundProcess
@testable import enum TestSupport.ChildProcess

/// One of `deploy/examples` as its readers have it, copied to a folder of its own, with a private Redis.
final class ExampleSite: Sendable {
  static let examples = URL(filePath: #filePath).deletingLastPathComponent()
    .appending(path: "../../deploy/examples").standardizedFileURL

  let client: RedisClient
  /// Holds the copy, the configuration of the workers and their store; workers run in it.
  let folder: TestFolder
  private let redis: TestRedis
  private let name: String
  private let environment: [String: String]

  var example: String { "\(folder.path)/\(name)" }
  /// The example's own, and after `[redis]`, `[store]` and `[worker]` of this test the same text again.
  var configPath: String { "\(example)/config.toml" }
  private var testedPath: String { "\(example)/tested.toml" }

  /// - Parameters:
  ///   - port: where the example's application listens, if it has one.
  ///   - environment: of the workers.
  static func with(
    _ name: String, port: Int? = nil, environment: [String: String] = [:],
    _ body: (ExampleSite) async throws -> Void
  ) async throws {
    let site = try await ExampleSite(name, port: port, environment)
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { try await site.client.run() }
      try await body(site)
      group.cancelAll()
      try await group.waitForAll()
    }
  }

  private init(_ name: String, port: Int?, _ environment: [String: String]) async throws {
    self.name = name
    self.environment = environment
    folder = try TestFolder()
    redis = try await TestRedis()
    client = RedisClient(
      try RedisConfiguration(url: redis.url),
      logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    let files = FileManager.default
    try files.copyItem(atPath: Self.examples.appending(path: name).path, toPath: example)
    try? files.removeItem(atPath: "\(example)/out")
    var text = try String(contentsOfFile: configPath, encoding: .utf8)
    if let port {
      #expect(text.contains("127.0.0.1:8000/"))
      text = text.replacing("127.0.0.1:8000/", with: "127.0.0.1:\(port)/")
      try text.write(toFile: configPath, atomically: true, encoding: .utf8)
    }
    // Whoever is killed this often at random is no poison; that rule has a test of its own.
    text =
      """
      [redis]
      url = "\(redis.url)"
      call_timeout_ms = 1000
      [store]
      path = "\(folder.path)/store.sqlite"
      [worker]
      lease_ms = 2000
      beat_ms = 300
      idle_beat_ms = 1000
      max_crashes = 1000
      [retry]
      retries = 8
      backoff_ms = 500

      """ + text
    try text.write(toFile: testedPath, atomically: true, encoding: .utf8)
  }

  /// Starts `batchd work` under an instance name.
  func worker(_ name: String) throws -> Program {
    try Program(
      "batchd", ["work", "--config", testedPath, "--instance", name],
      output: "\(folder.path)/\(name)-\(UInt32.random(in: 0 ... .max)).log",
      environment: environment, through: ["env", "-C", folder.path])
  }

  /// Runs a command of batchd to its end.
  /// - Returns: its exit status and what it wrote.
  func batchd(_ arguments: [String]) async throws -> (status: Int32?, output: String) {
    let program = try Program(
      "batchd", arguments, output: "\(folder.path)/\(UInt32.random(in: 0 ... .max)).log",
      environment: environment)
    return (await program.exitStatus(within: .seconds(20)), program.output)
  }

  /// The processes that run here: workers, handlers and what watches over these. Nobody else has a working folder here.
  func processes() throws -> [String] {
    let files = FileManager.default
    return try files.contentsOfDirectory(atPath: "/proc").filter { pid in
      guard Int(pid) != nil else { return false }
      let folder = try? files.destinationOfSymbolicLink(atPath: "/proc/\(pid)/cwd")
      return folder?.hasPrefix(self.folder.path) == true
    }
  }

  /// Runs `images/samples.py`, with Debian's Python and its Pillow, as handlers find them.
  func makeImages(_ count: Int) async throws {
    _ = try await ChildProcess.run(
      ["/usr/bin/python3", "\(example)/samples.py", "\(example)/out/images", "\(count)"],
      in: folder.path)
  }

  func push(_ entries: some Sequence<JSON>) async throws {
    let texts = entries.map { RedisArgument.bytes($0.bytes) }
    _ = try await client.call(["LPUSH", "batchd:enqueue"] + texts)
  }

  func hash(_ key: String) async throws -> [String: String] {
    let flat = try await client.call(["HGETALL", .text("batchd:\(key)")]).array ?? []
    return stride(from: 0, to: flat.count - 1, by: 2).reduce(into: [:]) {
      $0[flat[$1].text ?? ""] = flat[$1 + 1].text
    }
  }

  /// Rows of a database below the folder.
  func rows(_ file: String, _ query: String) throws -> [Row] {
    try DatabaseQueue(path: "\(folder.path)/\(file)").read { try Row.fetchAll($0, sql: query) }
  }

  /// The names of the files in a folder below the example's that are in their place, sorted.
  func names(_ path: String) throws -> [String] {
    try FileManager.default.contentsOfDirectory(atPath: "\(example)/\(path)")
      .filter { !$0.hasPrefix(".") }.sorted()
  }

  /// What a file has for itself as long as it is not replaced.
  func fileNumber(_ path: String) throws -> UInt64 {
    let attributes = try FileManager.default.attributesOfItem(atPath: "\(example)/\(path)")
    return try #require(attributes[.systemFileNumber] as? NSNumber).uint64Value
  }

  func json(_ path: String) throws -> JSON {
    try JSON(parsing: Data(contentsOf: URL(filePath: "\(example)/\(path)")))
  }
}

/// The application of the example `http`.
final class ExampleApplication: Sendable {
  static let environment = ["ORDERS_SECRET": "a secret of this test"]

  private let site: ExampleSite
  private let port: Int
  private let process = Mutex<BoundProcess?>(nil)

  init(_ site: ExampleSite, port: Int) { (self.site, self.port) = (site, port) }

  func start() async throws {
    let log = "\(site.folder.path)/application-\(UInt32.random(in: 0 ... .max)).log"
    let process = try BoundProcess(
      ["env"] + Self.environment.map { "\($0.key)=\($0.value)" }
        + [
          "/usr/bin/python3", "-B", "\(site.example)/server.py", "\(port)",
          "\(site.folder.path)/orders.sqlite",
        ], output: log)
    self.process.withLock { $0 = process }
    await eventually(within: .seconds(20), "the application listens") {
      try String(contentsOfFile: log, encoding: .utf8).contains("listening")
    }
  }

  func kill() { process.withLock { $0?.kill() } }
}
