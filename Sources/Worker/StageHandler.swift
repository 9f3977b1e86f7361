public import Pipeline

/// Does the work of one stage of one pipeline. One value serves many jobs at once.
///
/// A handler may run more than once for the same stage job (at-least-once); `job.items` holds only what is
/// still to do. Its task is cancelled when the lease is lost or the batch is cancelled.
public protocol StageHandler: Sendable {
  /// Works on `job` and returns the stage's own output (nil when the items' outputs are all there is).
  ///
  /// Item results go through `context.checkpoint`. A normal return settles the stage: items without a result count as done.
  /// - Throws: `StageError` to say how to go on; any other error counts as a retryable failure.
  func run(_ job: StageJob, _ context: StageContext) async throws -> JSON?
}

/// How a handler ends an attempt without finishing the stage.
public enum StageError: Error, Sendable, Equatable {
  /// Failed; try again after the backoff, or after what the service asked for.
  case retry(String, afterMilliseconds: Int? = nil)
  /// Failed for good: the batch fails.
  case permanent(String)
  /// Not now: again after the given time, no attempt charged, no slot held meanwhile.
  case snooze(String, milliseconds: Int)
}
