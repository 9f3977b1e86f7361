internal import NIOCore

/// What a server has to be. Work goes to a primary only: a replica refuses to write, and forgets what
/// another one makes it forget.
enum ServerRole {
  case primary
  case sentinel
  /// Of a Redis Cluster, primary or replica: only a command tells whether it serves a key.
  case node

  /// Why a connection is of no use any more after this refusal, by which nothing was executed: the server is not, or no
  /// longer, the one for this work. nil when it is.
  func parting(_ error: RedisError, of endpoint: RedisConfiguration.Endpoint) -> String? {
    switch error.serverCode {
    // UNBLOCKED is what a call hears that was blocked while its primary became a replica.
    case "READONLY", "UNBLOCKED", "MASTERDOWN":
      return "Redis is not a primary any more (\(error.serverCode))"
    case "MOVED" where self == .node: return "another node has the keys now (\(error.message))"
    case "MOVED":
      var address = "HOST:PORT"
      if case .tcp(let host, let port, _) = endpoint {
        address = "\(RedisConfiguration.Host(name: host, port: port))"
      }
      return "it is a node of a Redis Cluster; write \(endpoint.usesTLS ? "rediss" : "redis")"
        + "+cluster://\(address) and a prefix in braces, {batchd}"
    // Another part of the cluster may go on without this node.
    case "CLUSTERDOWN" where self == .node: return error.message
    default: return nil
    }
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
    case (.node, "sentinel"):
      throw refusal("it is a Sentinel and no node of a Redis Cluster; write redis+sentinel://")
    default: return
    }
  }

  private func refusal(_ message: String) -> RedisError {
    RedisError(code: .notConnected, message: message)
  }
}
