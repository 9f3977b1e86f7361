internal import Foundation
internal import Logging
internal import Pipeline
internal import Stages
internal import Synchronization
internal import Worker

/// One run of a handler outside of any queue, shown as it happens.
struct Trial: Sendable {
  private enum Handler {
    case command(ExecHandler)
    case endpoint(HTTPHandler)
  }

  /// Of no batch: who is given it asks gates as a caller without one.
  static let fence = Fence(epoch: 0, counter: 0)

  private let handler: Handler
  private let name: String
  private let settings: Configuration.StageSettings
  private let isJSON: Bool
  private var bound: OutputBound { OutputBound(bytes: settings.outputBytes) }

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
  /// - Returns: what a worker would make of it all.
  func run(_ job: StageJob, inputs: JSON) async throws -> HandlerEnd.Verdict {
    let inputs = HandlerInputs(inputs)
    var tally = TrialTally(itemCount: job.items.count, bound: bound)
    guard settings.feed == .item, !job.items.isEmpty else {
      return try await call(HandlerCall(job, inputs: inputs)) { lines, end in
        for line in lines { tally.take(line) }
        return (tally.verdict(end), tally.failedCount)
      }
    }
    for item in job.items {
      _ = try await call(HandlerCall(job.only(item), inputs: inputs)) { lines, end in
        let line = TrialTally.line(of: item, lines, end, bound)
        tally.take(line)
        return (Self.fate(line, end), 0)
      }
    }
    if !isJSON, job.items.count > 1 {
      show("all    \(consequence(of: tally.verdict(), failed: tally.failedCount))")
    }
    return tally.verdict()
  }

  /// What becomes of an item that was handed over alone.
  private static func fate(
    _ line: HandlerLine, _ end: HandlerEnd.Verdict
  ) -> HandlerEnd.Verdict {
    switch line {
    case .item(_, .failed(let error)): .permanent(error)
    // The end knows for how long, a line does not.
    case .retry(_, let error): end == .done ? .retry(error) : end
    case .item, .output: .done
    }
  }

  /// - Parameter judge: what follows from the lines and the end, and how many items failed for good beside it.
  private func call(
    _ call: HandlerCall,
    judge: ([HandlerLine], HandlerEnd.Verdict) -> (HandlerEnd.Verdict, Int)
  ) async throws -> HandlerEnd.Verdict {
    let start = ContinuousClock.now
    let input = try await call.bytes()
    if !isJSON {
      show("run    \(name)")
      show("in     \(String(decoding: input.prefix(4_096), as: UTF8.self).trimmed)")
      if input.count > 4_096 { show("       … \(input.count) bytes") }
    }
    let errors = ErrorLines(shows: !isJSON)
    let lines = Mutex<[HandlerLine]>([])
    let end = try await bounded {
      try await answer(call, errors) { some in
        lines.withLock { $0 += some }
        if !isJSON { for line in some { show(text(of: line)) } }
      }
    }
    let seconds = String(
      format: "%.3f s", Double((ContinuousClock.now - start) / .milliseconds(1)) / 1_000)
    let (verdict, failed) = judge(lines.withLock { $0 }, end.verdict)
    if isJSON {
      try answer(
        input, lines.withLock { $0 }, errors.text, end.status, verdict: verdict, failed: failed)
    } else {
      show("end    \(Self.status(of: end, settings.handler))in \(seconds)")
      show("       \(consequence(of: verdict, failed: failed))")
    }
    return verdict
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

  private func text(of line: HandlerLine) -> String {
    func text(_ json: JSON) -> String { String(decoding: json.bytes, as: UTF8.self) }
    switch line {
    case .item(let id, let result):
      switch bound.bounded(result) {
      case .done(let output): return "out    item \(id) done: \(text(output))"
      case .failed(let error): return "out    item \(id) failed for good: \(error)"
      }
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

  private func consequence(of verdict: HandlerEnd.Verdict, failed: Int) -> String {
    switch verdict {
    case .done where failed > 0: "done: \(Self.warning(failed))"
    case .done: "done: items that were not reported count as done"
    case .retry(let reason, let delay):
      "a worker would try again, up to \(settings.retry.retries) times"
        + (delay.map { ", after \($0) ms" } ?? "") + ": \(reason)"
    case .permanent(let reason): "failed for good: \(reason)"
    }
  }

  private static func warning(_ failed: Int) -> String {
    "\(Wording.count(failed, "item", "items")) failed for good: ends completed_with_errors"
  }

  private func answer(
    _ input: [UInt8], _ lines: [HandlerLine], _ errors: String, _ status: Int?,
    verdict: HandlerEnd.Verdict, failed: Int
  ) throws {
    let (verdict, reason): (String, JSON) =
      switch verdict {
      case .done: ("done", failed > 0 ? .string(Self.warning(failed)) : .null)
      case .retry(let reason, _): ("retry", .string(reason))
      case .permanent(let reason): ("permanent", .string(reason))
      }
    let object = JSON.object([
      "input": try JSON(parsing: input), "lines": .array(lines.map(\.json)),
      "stderr": .string(errors), "verdict": .string(verdict), "reason": reason,
      "status": status.map { .integer(Int64($0)) } ?? .null,
    ])
    print(String(decoding: object.bytes, as: UTF8.self))
  }
}

/// One line to a terminal, whose control characters are no business of a handler.
private func show(_ line: String) { print(StyledLine(line).plainText) }

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
    let text = event.metadata?["text"].map { "\($0)" } ?? "\(event.message)"
    lines.text.withLock { $0 += "\(text)\n" }
    if shows { show("err    \(text)") }
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
