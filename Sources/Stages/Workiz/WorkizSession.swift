import Pipeline
import Worker

/// One account's requests during one stage job, each with a permission of the account's gate.
struct WorkizSession {
  /// 429s in a row, over attempts and snoozes, after which the attempt ends at a cost: waiting is free,
  /// but not for ever.
  static let maximumThrottled = 10
  static let missingTokenMilliseconds = 60_000

  let account: String
  /// What the next checkpoint hands to a later attempt; `throttled` in it is the session's own.
  var cursor: [String: JSON]

  private let token: String
  private let client: WorkizClient
  private let configuration: WorkizConfiguration
  private let context: StageContext

  /// - Throws: `StageError.permanent` without an account, `.snooze` when this worker lacks its token.
  init(
    _ job: StageJob, _ context: StageContext, _ client: WorkizClient,
    _ configuration: WorkizConfiguration
  ) throws(StageError) {
    guard let account = job.account else {
      throw .permanent("pipeline '\(job.pipeline)' needs an account: enqueue with \"account\":NAME")
    }
    guard let token = configuration.token(account), !token.isEmpty else {
      throw .snooze(
        "this worker has no token for account '\(account)': set it for [accounts.\(account)] and "
          + "reload, or let a worker that has it take the batch",
        milliseconds: Self.missingTokenMilliseconds)
    }
    self.account = account
    self.token = token
    self.client = client
    self.configuration = configuration
    self.context = context
    cursor = job.cursor?.object ?? [:]
  }

  /// Sends `request` when the gate opens; a 429 closes the gate for everyone and the request goes
  /// out again, so `.throttled` is never returned.
  ///
  /// - Throws: `StageError.permanent` when the service denies the account, `.snooze` when the gate is closed
  ///   for long, `.retry` after too many 429s in a row; `CancellationError`.
  mutating func send(_ request: WorkizRequest) async throws -> WorkizOutcome {
    let gate = WorkizConfiguration.gate(account)
    while true {
      try await context.take(gate: gate, intervalMilliseconds: configuration.intervalMilliseconds)
      let answer = try await client.send(request, token: token)
      switch answer.outcome {
      case .throttled(let milliseconds): try await wait(gate, afterMilliseconds: milliseconds)
      case .denied(let message): throw StageError.permanent("account '\(account)': \(message)")
      case .answered, .gone, .refused, .failed:
        cursor["throttled"] = nil
        if answer.mayBeLate {
          // It arrived late by the handshake; on a warm connection the next one would be too near.
          try await context.close(
            gate: gate, forMilliseconds: configuration.intervalMilliseconds,
            reason: "new connection")
        }
        return answer.outcome
      }
    }
  }

  private mutating func wait(_ gate: String, afterMilliseconds: Int?) async throws {
    let before = cursor["throttled"].flatMap(Lenient.integer) ?? 0
    let count = min(max(before, 0), Self.maximumThrottled) + 1
    let pause = Self.pause(afterMilliseconds, count: count, configuration)
    try await context.close(gate: gate, forMilliseconds: pause, reason: "429 from Workiz")
    let isOver = count >= Self.maximumThrottled
    cursor["throttled"] = isOver ? nil : .integer(Int64(count))
    try await context.checkpoint([:], cursor: .object(cursor))
    if isOver {
      throw StageError.retry(
        "account '\(account)': Workiz answered 429 \(count) times in a row",
        afterMilliseconds: pause)
    }
  }

  /// Milliseconds for which the `count`th 429 in a row closes the gate: what the service asks for, else
  /// a growing guess, and never less than the interval.
  static func pause(
    _ asked: Int?, count: Int, _ configuration: WorkizConfiguration
  ) -> Int {
    let guess = configuration.throttledMilliseconds << min(max(count - 1, 0), 2)
    return max(asked ?? guess, configuration.intervalMilliseconds)
  }
}
