internal import Coordination
internal import Pipeline
internal import Queue
internal import Redis

/// Where gates are asked: one of a service is under one prefix, and holds for all of them.
struct GateHomes: Sendable {
  /// A prefix, and where this process stands in line there: a Redis that is away holds up its own gates only.
  struct Home: Sendable {
    let queue: Queue
    let line = GateLine()

    /// Calls a function for a batch of another prefix, whose lease is none of this Redis's: an outage must not hold its slot
    /// until the handler's time is over, at the cost of an attempt.
    /// - Throws: `StageError.snooze` when there is no answer in time.
    func callFromElsewhere(
      _ function: String, _ arguments: [RedisArgument]
    ) async throws -> RedisValue {
      try await fromElsewhere { try await queue.call(function, arguments) }
    }

    fileprivate func fromElsewhere(
      _ call: @escaping @Sendable () async throws -> RedisValue
    ) async throws -> RedisValue {
      try await withThrowingTaskGroup(of: RedisValue.self) { group in
        defer { group.cancelAll() }
        group.addTask { try await call() }
        group.addTask {
          try await Task.sleep(for: Self.patience)
          throw StageError.snooze(
            "it waits for the Redis of the prefix \(queue.keys.prefix)", milliseconds: 5_000)
        }
        return try await group.next()!
      }
    }

    private static let patience = Duration.seconds(3)
  }

  private let homes: [String: Home]

  init(_ queues: [Queue]) {
    homes = Dictionary(uniqueKeysWithValues: queues.map { ($0.keys.prefix, Home(queue: $0)) })
  }

  /// Whether a prefix's Redis answers that it knows nothing of a batch; not for one that this worker does not serve.
  func forgot(_ batch: String, under prefix: String) async throws -> Bool {
    guard let home = homes[prefix] else { return false }
    let status = try await home.fromElsewhere {
      try await home.queue.read(["HGET", .text(home.queue.keys.batch(batch)), "status"])
    }
    return status.text == nil
  }

  /// - Parameter queue: that of the batch which asks.
  func home(of gate: String, asking queue: Queue) -> Home {
    homes[queue.prefixes.home(ofGate: gate)]!
  }
}
