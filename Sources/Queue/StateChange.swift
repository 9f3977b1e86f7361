internal import Redis

/// One entry of `batchd:events`: a change of state, never of a single item.
public struct StateChange: Sendable, Hashable, Encodable {
  /// The entry's id in the stream: ask for what came after it.
  public let id: String
  /// `admitted`, `claimed`, `retrying`, `ended`, `crashed`, `rejected`, …
  public let event: String
  public let batch: String?
  public let operation: String?
  public let stage: String?
  /// RFC 3339 by Redis's clock.
  public let at: String?
  /// What else the event says: `status`, `error`, `reason`, `worker`, `due`, …
  public let details: [String: String]

  init?(_ entry: RedisValue) {
    guard let parts = entry.array, parts.count == 2, let id = parts[0].text else { return nil }
    var fields = parts[1].fields
    self.id = id
    event = fields.removeValue(forKey: "event") ?? ""
    batch = fields.removeValue(forKey: "batch").flatMap { $0.isEmpty ? nil : $0 }
    operation = fields.removeValue(forKey: "operation").flatMap { $0.isEmpty ? nil : $0 }
    stage = fields.removeValue(forKey: "stage").flatMap { $0.isEmpty ? nil : $0 }
    at = fields.removeValue(forKey: "at")
    details = fields
  }
}

extension Control {
  /// The id of the newest state change, `0-0` when there is none: where a watcher begins.
  public func lastChange() async throws -> String {
    let entries = try await read([["XREVRANGE", .text(keys.events), "+", "-", "COUNT", 1]])[0].array
    return entries?.first.flatMap(StateChange.init)?.id ?? "0-0"
  }

  /// Up to `limit` state changes after the one with the id `last`, oldest first.
  public func changes(after last: String, limit: Int) async throws -> [StateChange] {
    let reply = try await read([
      ["XRANGE", .text(keys.events), .text("(\(last)"), "+", "COUNT", .integer(limit)]
    ])[0]
    return (reply.array ?? []).compactMap(StateChange.init)
  }
}
