internal import Redis

/// Starting one operation over many accounts.
extension Control {
  /// One account's part of a refresh: a batch that finds the account's jobs and makes batches of them.
  public struct RefreshEntry: Sendable {
    let account: String
    let id: String
    let envelope: [UInt8]

    /// - Parameters:
    ///   - id: of the batch.
    ///   - envelope: the batch as it is enqueued.
    public init(account: String, id: String, envelope: [UInt8]) {
      self.account = account
      self.id = id
      self.envelope = envelope
    }
  }

  /// Enqueues all entries, or none of them when an account is being refreshed already.
  /// - Returns: accounts that are, each with the operation that does so; empty when all were enqueued.
  public func refresh(
    _ pipeline: String, operation: String, _ entries: [RefreshEntry]
  ) async throws -> [String: String] {
    var arguments: [RedisArgument] = [
      .text(pipeline), .text(operation), .integer(entries.count),
    ]
    for entry in entries {
      arguments += [.text(entry.account), .text(entry.id), .bytes(entry.envelope)]
    }
    let reply = try await call("refresh", arguments)
    guard let busy = reply.array?.map(\.texts), busy.allSatisfy({ $0.count == 2 }) else {
      throw QueueError.unreadable("batchd_refresh", reply)
    }
    return Dictionary(busy.map { ($0[0], $0[1]) }) { first, _ in first }
  }
}
