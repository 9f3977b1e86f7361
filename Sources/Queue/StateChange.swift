internal import Redis

/// One change of state, never of a single item. An entry of `batchd:events` tells of many batches at once when the same
/// happened to them in one call: their ids stand in `batch`, with spaces between.
public struct StateChange: Sendable, Hashable, Encodable {
  /// The entry's id in the stream, which the batches of one entry share: ask for what came after it.
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

  /// The changes that an entry tells of, in its order.
  static func all(_ entry: RedisValue) -> [StateChange] {
    guard let parts = entry.array, parts.count == 2, let id = parts[0].text else { return [] }
    var fields = parts[1].fields
    let batches = fields["batch"]?.split(separator: " ").map(String.init) ?? []
    guard batches.count > 1 else { return [StateChange(id, batches.first, fields)] }
    let fences = fields["fence"]?.split(separator: " ").map(String.init) ?? []
    return batches.enumerated().map { index, batch in
      if fences.count == batches.count { fields["fence"] = fences[index] }
      return StateChange(id, batch, fields)
    }
  }

  private init(_ id: String, _ batch: String?, _ fields: [String: String]) {
    var fields = fields
    self.id = id
    event = fields.removeValue(forKey: "event") ?? ""
    fields["batch"] = nil
    self.batch = batch
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
    return entries?.first?.array?.first?.text ?? "0-0"
  }

  /// The state changes of up to `limit` entries after the one with the id `last`, oldest first.
  public func changes(after last: String, limit: Int) async throws -> [StateChange] {
    let reply = try await read([
      ["XRANGE", .text(keys.events), .text("(\(last)"), "+", "COUNT", .integer(limit)]
    ])[0]
    return (reply.array ?? []).flatMap(StateChange.all)
  }

  /// Whether the change is still in the stream, so that none after it has been trimmed; also where there never was one.
  public func keepsChange(_ id: String) async throws -> Bool {
    if id == "0-0" { return true }
    let reply = try await read([
      ["XRANGE", .text(keys.events), .text(id), .text(id), "COUNT", 1]
    ])[0]
    return reply.array?.isEmpty == false
  }
}
