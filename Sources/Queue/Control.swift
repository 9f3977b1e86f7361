public import Redis

/// What people do to a queue: the functions that answer in words, and (in extensions) reads of the public keys.
///
/// It carries no epoch and opens no store, so nothing here can hold a lease. Every call is tried once: `RedisError`
/// when Redis is away or refuses, `QueueError` when a function refuses.
public struct Control: Sendable {
  public let keys: Keys
  let connection: RedisConnection

  /// - Parameter connection: the caller's; it may be shared, nothing here blocks.
  public init(_ connection: RedisConnection, prefix: String) {
    keys = Keys(prefix: prefix)
    self.connection = connection
  }

  /// Runs an ended batch again: its unfinished or failed items.
  /// - Parameter stage: where to start; nil is the stage that failed.
  /// - Returns: the function's words.
  public func retry(_ batch: String, from stage: String?) async throws -> String {
    try await act("retry", [batch] + (stage.map { [$0] } ?? []))
  }

  /// Cancels a batch, or all of an operation's.
  /// - Parameter what: `ID` or `operation:OP`.
  public func cancel(_ what: String) async throws -> String { try await act("cancel", [what]) }

  /// Starts nothing new; running work goes on to the end of its stage.
  /// - Parameter what: `all`, `pipeline:P`, `stage:P:S` or `account:A`.
  public func pause(_ what: String) async throws -> String { try await act("pause", [what]) }

  /// Ends a pause.
  public func resume(_ what: String) async throws -> String { try await act("resume", [what]) }

  /// Pushes rejected entries to `batchd:enqueue` again.
  /// - Parameter which: a position from 0, the newest, or `all`.
  /// - Returns: how many went back.
  public func reenter(_ which: String) async throws -> Int { try await count("reenter", which) }

  /// Drops rejected entries for good.
  /// - Returns: how many were dropped.
  public func drop(_ which: String) async throws -> Int { try await count("drop", which) }

  /// Calls a function of the workers under the epoch in force, for a handler that asks a gate by itself.
  /// - Throws: `QueueError` with `.refused` when no worker ever ran here, so that there is no epoch.
  public func callUnderEpoch(
    _ function: String, _ arguments: [RedisArgument]
  ) async throws -> RedisValue {
    while true {
      let epoch = try await read([["HGET", .text(keys.meta), "epoch"]])[0].text
      guard let epoch else {
        throw QueueError(.refused, "no worker has run on this Redis yet; start one: batchd work")
      }
      do {
        return try await call(function, [.text(epoch)] + arguments)
      } catch let error as QueueError where error.message.hasPrefix("EPOCH ") {
        // A worker has adopted a new one in between.
      }
    }
  }

  /// Pushes envelopes in their order. A failure in the middle leaves those before it pushed; all may be pushed again,
  /// for an id that is known is ignored.
  public func push(_ envelopes: [[UInt8]]) async throws {
    var command: [RedisArgument] = ["LPUSH", .text(keys.enqueue)]
    var bytes = 0
    for envelope in envelopes {
      command.append(.bytes(envelope))
      bytes += envelope.count
      if bytes >= Self.pushBytes || command.count > Self.pushCount {
        _ = try await read([command])
        command.removeSubrange(2...)
        bytes = 0
      }
    }
    if command.count > 2 { _ = try await read([command]) }
  }

  /// An id for a batch that was enqueued without one.
  public static func makeID(operation: String?) -> String {
    (operation.map { "\($0.prefix(100))-" } ?? "") + Queue.makeID()
  }

  private static let pushBytes = 4 << 20
  private static let pushCount = 1_000

  /// Sends commands in one write. - Throws: the first of their errors.
  func read(_ commands: [[RedisArgument]]) async throws -> [RedisValue] {
    let replies = try await connection.callAll(commands)
    for case .error(let error) in replies { throw error }
    return replies
  }

  private func count(_ function: String, _ which: String) async throws -> Int {
    let reply = try await call(function, [.text(which)])
    guard let count = reply.integer else {
      throw QueueError.unreadable("batchd_\(function)", reply)
    }
    return count
  }

  private func act(_ function: String, _ arguments: [String]) async throws -> String {
    let reply = try await call(function, arguments.map(RedisArgument.text))
    guard let text = reply.text else { throw QueueError.unreadable("batchd_\(function)", reply) }
    return text
  }

  /// Calls one function, loaded before where it is missing.
  func call(_ function: String, _ arguments: [RedisArgument]) async throws -> RedisValue {
    let command =
      ["FCALL", .text("batchd_\(function)"), 1, .text(keys.prefix)]
      + arguments
    do {
      do {
        return try await connection.call(command)
      } catch let error as RedisError where RedisFunctionLibrary.isMissing(error) {
        _ = try await Queue.loadFunctions(on: connection)
        return try await connection.call(command)
      }
    } catch let error as RedisError where error.code == .server && !error.isPassing {
      throw QueueError(error)
    }
  }
}

extension RedisValue {
  /// A hash's reply; empty for a key that does not exist.
  var fields: [String: String] {
    let flat = array ?? []
    return stride(from: 0, to: flat.count - 1, by: 2).reduce(into: [:]) { fields, at in
      fields[flat[at].text ?? ""] = flat[at + 1].text
    }
  }

  /// The members of a list or set; of a zset with scores, both in turn.
  var texts: [String] { (array ?? []).compactMap(\.text) }
}

extension [String: String] {
  /// A count; 0 where there is none.
  func count(_ field: String) -> Int { self[field]?.countOfRedis ?? 0 }

  /// A text; nil where it is missing or empty, which the functions do not tell apart either.
  func text(_ field: String) -> String? { self[field].flatMap { $0.isEmpty ? nil : $0 } }
}

/// Anybody may write anything into Redis: numbers are taken as far as sums and differences of many of them cannot overflow.
/// Nothing that is real comes near the bound; as a moment it lies in the year 5138.
extension String {
  private static let bound = 100_000_000_000_000

  /// A whole number, as the functions write it.
  var countOfRedis: Int? { Int(self).map { min(max($0, -Self.bound), Self.bound) } }

  /// A score, which may be a fraction or infinite, as a whole number.
  var scoreOfRedis: Int? {
    guard let score = Double(self), !score.isNaN else { return nil }
    let bound = Double(Self.bound)
    return Int(min(max(score, -bound), bound).rounded())
  }
}
