internal import Foundation
internal import Logging
internal import Pipeline
internal import Stages
internal import Synchronization

/// One run of a handler outside of any queue, shown as it happens.
struct Trial: Sendable {
  private enum Handler {
    case command(ExecHandler)
    case endpoint(HTTPHandler)
  }

  private let handler: Handler
  private let name: String
  private let settings: Configuration.StageSettings
  private let isJSON: Bool

  /// - Parameter file: what the handler is told to be its configuration.
  /// - Throws: `CommandError` for a stage whose handler is part of batchd.
  init(
    _ settings: Configuration.StageSettings, _ configuration: Configuration, file: String?,
    json: Bool
  ) throws {
    self.settings = settings
    isJSON = json
    switch settings.handler {
    case .exec:
      handler = .command(try configuration.command(settings, file: file))
      name = settings.command.joined(separator: " ")
    case .http:
      handler = .endpoint(try configuration.endpoint(settings))
      // What follows may be a secret.
      name = "POST \(settings.url.prefix { $0 != "?" })"
    case .pass, .workiz:
      throw CommandError(
        .data,
        settings.handler == .pass
          ? "the stage's handler is \"pass\": every item passes, there is nothing to try"
          : "the stage's handler is batchd's own and needs the queue: enqueue a batch and watch it")
    }
  }

  /// Calls the handler: once, or once for each item as the stage's `feed` says.
  /// - Returns: the first verdict that is not the best one.
  func run(_ job: StageJob, inputs: JSON) async throws -> HandlerEnd.Verdict {
    var verdict = HandlerEnd.Verdict.done
    let jobs =
      settings.feed == .item && !job.items.isEmpty ? job.items.map { job.only($0) } : [job]
    for job in jobs {
      let end = try await call(HandlerCall(job, inputs: HandlerInputs(inputs)))
      if verdict == .done { verdict = end.verdict }
    }
    return verdict
  }

  private func call(_ call: HandlerCall) async throws -> HandlerEnd {
    let start = ContinuousClock.now
    let input = try await call.bytes()
    if !isJSON {
      print("run    \(name)")
      print("in     \(String(decoding: input.prefix(4_096), as: UTF8.self).trimmed)")
      if input.count > 4_096 { print("       … \(input.count) bytes") }
    }
    let errors = ErrorLines(shows: !isJSON)
    let lines = Mutex<[HandlerLine]>([])
    let end = try await bounded {
      try await answer(call, errors) { some in
        lines.withLock { $0 += some }
        if !isJSON { for line in some { print(Self.text(of: line)) } }
      }
    }
    let seconds = String(
      format: "%.3f s", Double((ContinuousClock.now - start) / .milliseconds(1)) / 1_000)
    if isJSON {
      try show(input, lines.withLock { $0 }, errors.text, end)
    } else {
      print("end    \(Self.status(of: end, settings.handler))in \(seconds)")
      print("       \(consequence(of: end.verdict))")
    }
    return end
  }

  private func answer(
    _ call: HandlerCall, _ errors: ErrorLines, _ results: @escaping ([HandlerLine]) -> Void
  ) async throws -> HandlerEnd {
    switch handler {
    case .command(let command):
      try await command.call(call, logger: Logger(label: "try") { _ in errors }) { results($0) }
    case .endpoint(let endpoint): try await endpoint.call(call) { results($0) }
    }
  }

  /// Ends the call when the stage's time is over, as a worker does.
  private func bounded(
    _ body: @escaping @Sendable () async throws -> HandlerEnd
  ) async throws -> HandlerEnd {
    let limit = settings.timeoutMilliseconds
    return try await withThrowingTaskGroup(of: HandlerEnd?.self) { group in
      group.addTask {
        do { return try await body() } catch is CancellationError { return nil }
      }
      group.addTask {
        try? await Task.sleep(for: .milliseconds(limit))
        return nil
      }
      let first = try await group.next() ?? nil
      group.cancelAll()
      // The command is ended before anything is said about it.
      while try await group.next() != nil {}
      return first ?? HandlerEnd(verdict: .retry("timed out after \(limit) ms (timeout_ms)"))
    }
  }

  // MARK: What a person reads

  private static func text(of line: HandlerLine) -> String {
    func text(_ json: JSON) -> String { String(decoding: json.bytes, as: UTF8.self) }
    switch line {
    case .item(let id, .done(let output)): return "out    item \(id) done: \(text(output))"
    case .item(let id, .failed(let error)): return "out    item \(id) failed for good: \(error)"
    case .retry(let id, let error): return "out    item \(id) failed, to be tried again: \(error)"
    case .output(let output): return "out    the stage's output: \(text(output))"
    }
  }

  private static func status(
    of end: HandlerEnd, _ handler: Configuration.StageSettings.Handler
  ) -> String {
    guard let status = end.status else { return "" }
    return handler == .exec ? "exit code \(status) " : "status \(status) "
  }

  private func consequence(of verdict: HandlerEnd.Verdict) -> String {
    switch verdict {
    case .done: "done: items that were not reported count as done"
    case .retry(let reason, let delay):
      "a worker would try again, up to \(settings.retry.retries) times"
        + (delay.map { ", after \($0) ms" } ?? "") + ": \(reason)"
    case .permanent(let reason): "failed for good: \(reason)"
    }
  }

  private func show(
    _ input: [UInt8], _ lines: [HandlerLine], _ errors: String, _ end: HandlerEnd
  ) throws {
    let (verdict, reason): (String, JSON) =
      switch end.verdict {
      case .done: ("done", .null)
      case .retry(let reason, _): ("retry", .string(reason))
      case .permanent(let reason): ("permanent", .string(reason))
      }
    let object = JSON.object([
      "input": try JSON(parsing: input), "lines": .array(lines.map(\.json)),
      "stderr": .string(errors), "verdict": .string(verdict), "reason": reason,
      "status": end.status.map { .integer(Int64($0)) } ?? .null,
    ])
    print(String(decoding: object.bytes, as: UTF8.self))
  }
}

/// What a command writes to its standard error, shown at once.
private struct ErrorLines: LogHandler {
  let shows: Bool
  private let lines = Lines()

  private final class Lines: Sendable {
    let text = Mutex("")
  }

  init(shows: Bool) { self.shows = shows }

  var text: String { lines.text.withLock { $0 } }
  var metadata: Logger.Metadata = [:]
  var logLevel = Logger.Level.info

  subscript(metadataKey key: String) -> Logger.Metadata.Value? {
    get { metadata[key] }
    set { metadata[key] = newValue }
  }

  func log(event: LogEvent) {
    lines.text.withLock { $0 += "\(event.message)\n" }
    if shows { print("err    \(event.message)") }
  }
}

extension HandlerLine {
  /// As the handler wrote it.
  fileprivate var json: JSON {
    switch self {
    case .item(let id, .done(let output)): .object(["item": .string(id), "output": output])
    case .item(let id, .failed(let error)):
      .object(["item": .string(id), "error": .string(error), "retry": .bool(false)])
    case .retry(let id, let error):
      .object(["item": .string(id), "error": .string(error), "retry": .bool(true)])
    case .output(let output): .object(["output": output])
    }
  }
}

extension String {
  fileprivate var trimmed: String { trimmingCharacters(in: .whitespacesAndNewlines) }
}
