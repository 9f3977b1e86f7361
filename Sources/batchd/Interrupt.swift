internal import ArgumentParser
internal import Dispatch

#if canImport(Glibc)
  internal import Glibc
#elseif canImport(Musl)
  internal import Musl
#else
  internal import Darwin
#endif

/// Ctrl-C as a cancellation, so that whoever draws on the terminal can clean up.
enum Interrupt {
  /// Runs `body` to its end; SIGINT, SIGTERM, SIGQUIT and (unless nohup ignores it) SIGHUP cancel it.
  /// - Throws: what `body` throws; after a signal the exit code that a shell expects.
  static func orFinished<Result: Sendable>(
    _ body: @escaping @Sendable () async throws -> Result
  ) async throws -> Result {
    let signals = [SIGINT, SIGTERM, SIGQUIT] + (ignoresHangup ? [] : [SIGHUP])
    let (stream, continuation) = AsyncStream.makeStream(of: Int32.self)
    let sources = signals.map { number in
      source(of: number) { continuation.yield(number) }
    }
    defer {
      for source in sources { source.cancel() }
      for number in signals { signal(number, SIG_DFL) }
    }
    return try await withThrowingTaskGroup(of: Result?.self) { group in
      group.addTask { try await body() }
      group.addTask {
        for await number in stream { throw ExitCode(128 + number) }
        return nil
      }
      defer { group.cancelAll() }
      while let finished = try await group.next() {
        if let finished { return finished }
      }
      throw CancellationError()
    }
  }

  /// As nohup has it.
  static var ignoresHangup: Bool {
    let before = signal(SIGHUP, SIG_IGN)
    signal(SIGHUP, before)
    return unsafeBitCast(before, to: Int.self) == 1
  }

  /// Calls `body` for each signal until the source is cancelled, instead of what it does to the process.
  static func source(
    of number: Int32, _ body: @escaping @Sendable () -> Void
  ) -> any DispatchSourceSignal {
    signal(number, SIG_IGN)
    let source = DispatchSource.makeSignalSource(signal: number)
    source.setEventHandler(handler: body)
    source.resume()
    return source
  }
}
