import Foundation
import Glibc
import Logging
import Pipeline
import Queue
import Redis
import ServiceLifecycle
import Stores
import Synchronization
import TestSupport
import Testing
import Worker

@testable import enum TestSupport.ChildProcess

/// A private Redis, a SQLite file, a worker of this process on them, and the built `batchd` as a person runs it.
final class CommandHarness: Sendable {
  let redis: TestRedis
  private let store: SQLiteStore

  init(redisArguments: [String] = []) async throws {
    redis = try await TestRedis(arguments: redisArguments)
    store = try await SQLiteStore(path: "\(redis.folder)/store.sqlite")
  }

  /// What a command left behind.
  struct Outcome {
    let status: Int32
    let output: String
    let complaint: String
    var lines: [String] { output.split(separator: "\n").map(String.init) }
  }

  /// Runs `batchd` on this Redis to its end.
  func run(_ arguments: String..., input: String = "") async throws -> Outcome {
    try await start(arguments, input: input).outcome()
  }

  /// Starts `batchd`, told of this Redis by the arguments alone.
  /// - Parameter isJournal: whether it is told that systemd's journal reads its standard error.
  func command(
    _ arguments: [String], environment: [String: String] = [:], isJournal: Bool = false
  ) throws -> RunningCommand {
    try RunningCommand(
      arguments, input: "", folder: redis.folder, environment: environment, isJournal: isJournal)
  }

  /// Starts `batchd` on this Redis.
  /// - Parameter output: its standard output, instead of a file.
  func start(
    _ arguments: [String], input: String = "", output: FileHandle? = nil
  ) throws -> RunningCommand {
    try RunningCommand(
      arguments + ["--redis", redis.url], input: input, folder: redis.folder, output: output)
  }

  /// Runs `body` beside a worker whose two stages run `handler`.
  func withWorker(
    _ name: String = "w1", prefixes: [String] = ["batchd"], handler: Handler,
    _ body: () async throws -> Void
  ) async throws {
    var configuration = WorkerConfiguration(
      name: name, host: "test", version: "test",
      pipelines: [
        PipelineDefinition(
          name: "demo",
          stages: [
            .init(stage: .setup, handler: handler), .init(stage: .extraction, handler: handler),
          ])
      ], defaultPipeline: "demo")
    configuration.beatMilliseconds = 300
    configuration.idleBeatMilliseconds = 300
    let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
    let store = store
    let worker = Worker(
      configuration, redis: try RedisConfiguration(url: redis.url), prefixes: Prefixes(prefixes),
      store: store, logger: logger)
    let group = ServiceGroup(
      configuration: .init(
        services: [
          .init(
            service: worker, successTerminationBehavior: .gracefullyShutdownGroup)
        ], logger: logger))
    let task = Task { try await group.run() }
    for prefix in prefixes {
      await eventually("worker \(name) is registered under \(prefix)") {
        try await redis.cli("ZCARD", "\(prefix):workers") != "0"
      }
    }
    try await body()
    await group.triggerGracefulShutdown()
    try await task.value
  }
}

/// A handler made of a closure.
struct Handler: StageHandler {
  let body: @Sendable (StageJob, StageContext) async throws -> JSON?

  init(_ body: @escaping @Sendable (StageJob, StageContext) async throws -> JSON?) {
    self.body = body
  }

  /// One whose stage jobs end when a test says so.
  static func held(by latch: Latch) -> Handler {
    Handler { _, _ in
      try await latch.wait()
      return nil
    }
  }

  func run(_ job: StageJob, _ context: StageContext) async throws -> JSON? {
    try await body(job, context)
  }
}

/// `batchd` under way in a process of its own, its output in files so that nothing can block it.
final class RunningCommand: Sendable {
  private let pid: pid_t
  private let ended: Task<Int32, Never>
  private let end = End()
  private let base: String

  /// The executable beside the test bundle.
  static let binary = URL(filePath: CommandLine.arguments[0]).deletingLastPathComponent()
    .appending(path: "batchd")

  /// - Parameter environment: beside the test's own.
  init(
    _ arguments: [String], input: String, folder: String, environment: [String: String] = [:],
    isJournal: Bool = false, output: FileHandle? = nil
  ) throws {
    base = "\(folder)/command-\(UUID().uuidString)"
    for (suffix, text) in [("in", input), ("out", ""), ("err", "")] {
      try Data(text.utf8).write(to: URL(filePath: "\(base).\(suffix)"))
    }
    var variables = ProcessInfo.processInfo.environment.merging(environment) { $1 }
    if isJournal {
      let file = try FileManager.default.attributesOfItem(atPath: "\(base).err")
      let device = file[.systemNumber] as? Int ?? 0
      let node = file[.systemFileNumber] as? Int ?? 0
      variables["JOURNAL_STREAM"] = "\(device):\(node)"
    }
    let standardInput = open("\(base).in", O_RDONLY | O_CLOEXEC)
    defer { close(standardInput) }
    pid = try ChildProcess.spawn(
      [Self.binary.path] + arguments, standardInput: standardInput, output: "\(base).out",
      outputDescriptor: output?.fileDescriptor, error: "\(base).err", environment: variables)
    ended = Task { [pid, end] in
      await withCheckedContinuation { done in
        // A thread of its own: those of the global queue are few.
        Thread.detachNewThread {
          let status = ChildProcess.reap(pid)
          end.isOver.store(true, ordering: .relaxed)
          done.resume(returning: status)
        }
      }
    }
  }

  /// The pid may be somebody else's then.
  private final class End: Sendable {
    let isOver = Atomic(false)
  }

  deinit { if !end.isOver.load(ordering: .relaxed) { Glibc.kill(pid, SIGTERM) } }

  /// What it has written so far.
  var output: String { get throws { try text("out") } }

  /// What it has written to standard error so far.
  var complaint: String { get throws { try text("err") } }

  /// Whether it has the library of that name, such as `libpq`, in its memory.
  func hasLoaded(_ library: String) throws -> Bool {
    // String(contentsOf:) takes the first page of such a file for all of it.
    let file = try FileHandle(
      forReadingFrom: URL(filePath: "/proc/\(pid)/maps"))
    return String(decoding: try file.readToEnd() ?? Data(), as: UTF8.self)
      .contains("/\(library).so")
  }

  /// What Ctrl-C sends.
  func interrupt() { Glibc.kill(pid, SIGINT) }

  /// SIGKILL.
  func kill() { Glibc.kill(pid, SIGKILL) }

  /// Waits for the end.
  func outcome() async throws -> CommandHarness.Outcome {
    return .init(
      status: await ended.value, output: try text("out"), complaint: try text("err"))
  }

  private func text(_ suffix: String) throws -> String {
    try String(contentsOf: URL(filePath: "\(base).\(suffix)"), encoding: .utf8)
  }
}
