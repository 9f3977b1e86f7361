public import Logging
internal import NIOCore
public import Pipeline
public import Worker

/// Runs a command for each stage job, or for each of its items (DESIGN.md section 7).
///
/// The command reads one JSON object from its standard input (`HandlerCall`) and writes what it has done to its
/// standard output, one JSON object a line (`HandlerLine`), each of which is kept as it arrives. Exit codes as in
/// sysexits(3): 0 done, 65 failed for good, any other: try again, as 75 says.
public struct ExecHandler: StageHandler {
  private let configuration: ExecConfiguration
  private let feed: HandlerFeed
  private let limits: Limits

  /// - Parameters:
  ///   - gate: asked before each start of the command; nil for none.
  ///   - retries: those of the stage's `RetryPolicy`.
  /// - Throws: `StagesError` when a setting is not of its form.
  public init(
    _ configuration: ExecConfiguration, gate: GateRule? = nil, feed: Feed = .batch, retries: Int,
    limits: Limits = Limits()
  ) throws(StagesError) {
    try configuration.validate()
    self.configuration = configuration
    self.feed = HandlerFeed(gate: gate, feed: feed, retries: retries)
    self.limits = limits
  }

  public func run(_ job: StageJob, _ context: StageContext) async throws -> JSON? {
    try await feed.run(job, context) { call, results in
      try await self.call(call, logger: context.logger, results: results)
    }
  }

  /// Runs the command once, without gate, lease or Redis, as a worker does under them.
  ///
  /// Cancellation ends the command and all that it started within two seconds.
  /// - Parameters:
  ///   - logger: takes what the command writes to its standard error.
  ///   - results: is given the lines as they arrive, at most 100 at a time; while it works the command waits.
  /// - Returns: how the command ended, whatever went wrong with it.
  /// - Throws: `CancellationError`, and what `results` or the call's inputs throw.
  public func call(
    _ call: HandlerCall, logger: Logger,
    results: ([HandlerLine]) async throws -> Void
  ) async throws -> HandlerEnd {
    let environment = configuration.environment(of: call.job)
    let group: CommandGroup
    do {
      let program = try configuration.program(path: environment["PATH"] ?? "")
      group = try await CommandGroup.start(
        .init(
          file: program, arguments: configuration.command, environment: environment,
          directory: configuration.directory))
    } catch let failure as ExecFailure {
      return HandlerEnd(verdict: .retry("\(name): \(failure.text)"))
    }
    var output = HandlerOutput(
      "standard output", items: call.job.items, feed: feed.feed,
      limits: .init(outputBytes: limits.outputBytes, totalBytes: configuration.totalBytes))
    let ending = await converse(call, group, logger, &output, results)
    try Task.checkCancellation()
    if let error = ending.error { throw error }
    let isWell = ending.status == 0
    // A line that broke off is what a crash leaves: then the crash is what there is to tell of.
    var last = output
    for lines in last.end().chunks() { try await results(Array(lines)) }
    return HandlerEnd(
      status: ending.status, failure: isWell ? last.failure : output.failure,
      errorTail: ending.errorTail, name: name, errorBytes: limits.errorBytes)
  }

  /// The command as messages name it.
  private var name: String { configuration.command[0].printable(80) }

  private struct Ending {
    /// What waitpid(2) says.
    let status: Int32
    let errorTail: String
    /// What stopped the conversation on our side.
    let error: (any Error)?
  }

  /// Feeds the command and listens to it until it has ended, well or not, and nothing of it is left.
  private func converse(
    _ call: HandlerCall, _ group: CommandGroup, _ logger: Logger, _ output: inout HandlerOutput,
    _ results: ([HandlerLine]) async throws -> Void
  ) async -> Ending {
    let ending = await withTaskCancellationHandler {
      async let status = group.ended()
      async let errorTail = Self.log(group.errors, logger)
      async let fed = Self.feed(call, group)
      let heard = await listen(group, &output, results)
      let unfed = await fed
      return Ending(status: await status, errorTail: await errorTail, error: heard ?? unfed)
    } onCancel: {
      group.stop()
    }
    await group.sweep()
    return ending
  }

  /// - Returns: why it was not listened to the end.
  private func listen(
    _ group: CommandGroup, _ output: inout HandlerOutput,
    _ results: ([HandlerLine]) async throws -> Void
  ) async -> (any Error)? {
    while let bytes = await group.output.next() {
      do {
        for lines in output.read(Array(buffer: bytes)).chunks() {
          try await results(Array(lines))
        }
      } catch {
        group.stop()
        return error
      }
      if output.failure != nil {
        group.stop()
        return nil
      }
    }
    return nil
  }

  /// - Returns: why the input could not be had to its end.
  private static func feed(_ call: HandlerCall, _ group: CommandGroup) async -> (any Error)? {
    do {
      try await group.feed(call.text)
      return nil
    } catch {
      group.stop()
      return error
    }
  }

  private static func log(_ errors: PipeReader, _ logger: Logger) async -> String {
    var log = ErrorLog(logger)
    while let bytes = await errors.next() { log.write(Array(buffer: bytes)) }
    log.flush()
    return log.tail
  }
}
