internal import Redis

/// What somebody else wrote under the prefix.
extension Queue {
  /// A key that was not what its name promises, and what was done about it.
  public struct BrokenRecord: Sendable, Hashable {
    public let key: String
    public let problem: String
    public let remedy: String
  }

  /// The newest broken records that anybody met, oldest first; fewer when the events were trimmed meanwhile.
  public func brokenRecords(newest count: Int) async throws -> [BrokenRecord] {
    let reply = try await client.call([
      "XREVRANGE", .text(keys.events), "+", "-", "COUNT", .integer(Self.eventsLookedAt),
    ])
    let broken = (reply.array ?? []).flatMap(StateChange.all).filter { $0.event == "broken" }
    return broken.prefix(count).reversed().map {
      BrokenRecord(
        key: $0.details["key"] ?? "", problem: $0.details["error"] ?? "",
        remedy: $0.details["remedy"] ?? "")
    }
  }

  private static let eventsLookedAt = 1_000
}
