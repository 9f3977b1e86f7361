internal import NIOCore

/// What a server has to be. Work goes to a primary only: a replica refuses to write, and forgets what
/// another one makes it forget.
enum ServerRole {
  case primary
  case sentinel

  /// Whether a server's refusal says that it is not, or no more, a primary: nothing was executed.
  static func isDemoted(_ error: RedisError) -> Bool {
    // UNBLOCKED is what a call hears that was blocked while its primary became a replica.
    ["READONLY", "UNBLOCKED", "MASTERDOWN"].contains(error.serverCode)
  }

  /// Asks the server for its role. Throws `notConnected` with the remedy when it is another one.
  func verify(on connection: RedisConnection, deadline: NIODeadline) async throws {
    let reply: RedisValue
    do {
      reply = try await connection.call(["ROLE"], deadline: deadline)
    } catch let error as RedisError where error.code == .server {
      // Some providers and ACLs refuse it; the first write tells as well.
      return
    }
    let parts = reply.array ?? []
    switch (self, parts.first?.text) {
    case (.primary, "slave"):
      let primary = parts.count > 2 ? "\(parts[1].text ?? "?"):\(parts[2].integer ?? 0)" : "another"
      throw refusal(
        "it is a replica of \(primary); name the primary, or have the Sentinels name it: "
          + "redis+sentinel://HOST:26379,HOST:26379/SERVICE")
    case (.primary, "sentinel"):
      let services = parts.dropFirst().first?.array?.compactMap(\.text) ?? []
      throw refusal(
        "it is a Sentinel; write redis+sentinel://HOST:26379/SERVICE, where SERVICE is one of "
          + services.joined(separator: ", "))
    case (.sentinel, "master"), (.sentinel, "slave"):
      throw refusal("it is a Redis and no Sentinel; name the Sentinels, or write redis://")
    default: return
    }
  }

  private func refusal(_ message: String) -> RedisError {
    RedisError(code: .notConnected, message: message)
  }
}
