import Logging
import Redis
import TestSupport

/// An entry of `batchd:events`.
struct QueueEvent {
  private let fields: [String: String]

  var name: String { fields["event"] ?? "" }
  var batch: String { fields["batch"] ?? "" }
  var stage: String { fields["stage"] ?? "" }
  var worker: String { fields["worker"] ?? "" }
  /// Of a `claimed` event.
  var fence: String { fields["fence"] ?? "" }
  /// Its id in the stream.
  let id: String
  var reason: String { fields["reason"] ?? "" }
  /// Unix milliseconds by Redis's clock.
  let milliseconds: Int64

  /// Every event, oldest first; the tests keep the stream longer than they run.
  static func all(
    _ client: RedisClient, prefix: String = "batchd"
  ) async throws -> [QueueEvent] {
    let reply = try await client.call(["XRANGE", .text("\(prefix):events"), "-", "+"])
    return (reply.array ?? []).flatMap { entry -> [QueueEvent] in
      guard let parts = entry.array, parts.count == 2, let id = parts[0].text,
        let pairs = parts[1].array
      else { return [] }
      var fields: [String: String] = [:]
      for index in stride(from: 0, to: pairs.count - 1, by: 2) {
        fields[pairs[index].text ?? ""] = pairs[index + 1].text
      }
      // One for each batch of those to which the same happened in one call.
      let batches = fields["batch", default: ""].split(separator: " ").map(String.init)
      let fences = fields["fence", default: ""].split(separator: " ").map(String.init)
      return (batches.isEmpty ? [""] : batches).enumerated().map { index, batch in
        fields["batch"] = batch
        if fences.count > 1 { fields["fence"] = fences[index] }
        return QueueEvent(
          fields: fields, id: id, milliseconds: Int64(id.prefix { $0 != "-" }) ?? 0)
      }
    }
  }

  /// Every event that one server remembers.
  static func all(of redis: TestRedis) async throws -> [QueueEvent] {
    let client = RedisClient(
      try RedisConfiguration(url: redis.url),
      logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    return try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { try await client.run() }
      let events = try await all(client)
      group.cancelAll()
      try await group.waitForAll()
      return events
    }
  }
}
