import Foundation
import Logging
import Pipeline
import Synchronization

@testable import Stages

/// What a call of a handler came to, and what it reported on the way.
struct Called {
  var end: HandlerEnd
  /// As given on together.
  var reports: [[HandlerLine]] = []
  var log: [String] = []
  var lines: [HandlerLine] { reports.flatMap { $0 } }

  var text: String {
    switch end.verdict {
    case .done: "done"
    case .retry(let text, _): "retry: \(text)"
    case .permanent(let text): "permanent: \(text)"
    }
  }

  /// Runs a script of the shell as the command of a stage.
  static func sh(
    _ script: String, items: [String] = ["A1", "A2"], feed: Feed = .batch,
    inputs: JSON = .object([:]), limits: Limits = Limits(),
    _ adjust: (inout ExecConfiguration) -> Void = { _ in }
  ) async throws -> Called {
    try await command(
      ["/bin/sh", "-c", script], items: items, feed: feed, inputs: inputs, limits: limits, adjust)
  }

  static func command(
    _ command: [String], items: [String] = ["A1", "A2"], feed: Feed = .batch,
    inputs: JSON = .object([:]), limits: Limits = Limits(),
    _ adjust: (inout ExecConfiguration) -> Void = { _ in }
  ) async throws -> Called {
    var configuration = ExecConfiguration(command: command)
    adjust(&configuration)
    let handler = try ExecHandler(configuration, feed: feed, retries: 3, limits: limits)
    let recorder = Recorder()
    var called = Called(end: HandlerEnd(verdict: .done))
    called.end = try await handler.call(
      HandlerCall(.test(items: items), inputs: HandlerInputs(inputs)), logger: recorder.logger
    ) { called.reports.append($0) }
    called.log = recorder.lines
    return called
  }

  static func post(
    _ url: String, items: [String] = ["A1", "A2"], feed: Feed = .batch,
    inputs: JSON = .object([:]), _ adjust: (inout HTTPConfiguration) -> Void = { _ in }
  ) async throws -> Called {
    var configuration = HTTPConfiguration(url: url)
    adjust(&configuration)
    let handler = try HTTPHandler(configuration, feed: feed, retries: 3)
    var called = Called(end: HandlerEnd(verdict: .done))
    called.end = try await handler.call(
      HandlerCall(.test(items: items), inputs: HandlerInputs(inputs))
    ) { called.reports.append($0) }
    return called
  }
}

extension StageJob {
  static func test(items: [String], stage: Stage = .annotation) -> StageJob {
    StageJob(
      batch: "b1", operation: "op", account: nil, pipeline: "demo", stage: stage, run: 2,
      attempt: 3, number: 0, fence: Fence(epoch: 4, counter: 5),
      items: items.map { Item(id: $0, value: .string($0)) }, itemCount: items.count,
      payload: .object(["fast": .bool(true)]), cursor: nil)
  }
}

/// Keeps what is logged.
final class Recorder: Sendable {
  private let state = Mutex<[String]>([])
  var lines: [String] { state.withLock { $0 } }
  var logger: Logger { Logger(label: "test") { _ in Handler(recorder: self) } }

  private struct Handler: LogHandler {
    let recorder: Recorder
    var metadata: Logger.Metadata = [:]
    var logLevel = Logger.Level.trace
    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
      get { metadata[key] }
      set { metadata[key] = newValue }
    }
    func log(event: LogEvent) {
      let line = event.metadata?["text"].map { "\($0)" } ?? "\(event.message)"
      recorder.state.withLock { $0.append(line) }
    }
  }
}

/// Processes of this machine, as /proc shows them.
enum Processes {
  /// Those whose arguments hold `mark`.
  static func with(_ mark: String) -> [String] {
    all.compactMap { pid in
      let text = (try? String(contentsOfFile: "/proc/\(pid)/cmdline", encoding: .utf8)) ?? ""
      return text.contains(mark) ? "\(pid): \(text)" : nil
    }
  }

  /// Our children that have ended and were not waited for.
  static var zombies: [String] {
    all.compactMap { pid in
      let text = (try? String(contentsOfFile: "/proc/\(pid)/stat", encoding: .utf8)) ?? ""
      let fields = text.split(separator: ")").last?.split(separator: " ") ?? []
      return fields.first == "Z" && fields[1] == "\(getpid())" ? text : nil
    }
  }

  static var descriptors: Int {
    (try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd").count) ?? 0
  }

  /// Never the same twice: a number of seconds that a command sleeps, by which it can be found.
  static var mark: String { "1\(UInt32.random(in: 1_000_000...9_999_999))" }

  private static var all: [Int] {
    ((try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []).compactMap { Int($0) }
  }
}
