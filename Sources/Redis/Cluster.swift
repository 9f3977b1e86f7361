internal import NIOCore
internal import Synchronization

/// Finds the node of a Redis Cluster that serves the slot of one key, anew for every connection.
///
/// Every node knows it: it answers a command with that key, or says MOVED and to where. So neither the slot's number nor who
/// is a primary need be known here, and an answer that is out of date leads to one that is not.
///
/// Nobody has to watch, as for Sentinels, whether a node is still the one. A primary that was replaced, or whose slot was
/// moved, says so to the next call and to those blocked (MOVED, UNBLOCKED); one that is cut off from the others refuses all
/// after `cluster-node-timeout` (CLUSTERDOWN). All of them end the connection.
final class Cluster: Sendable {
  private typealias Host = RedisConfiguration.Host

  /// Who was asked, and whether another node named it. A named one is given all the time there is, the others a part of it:
  /// one host that vanished must not keep them from being asked.
  private struct Attempt: Hashable {
    let host: Host
    let isNamed: Bool
  }

  private enum Answer {
    case served(RedisConnection)
    case named(Host)
  }

  /// Of which nobody expects that all are gone at once, and each of which may have to be waited for.
  private static let knownNodes = 16

  private let seeds: [Host]
  private let configuration: RedisConfiguration
  /// Who served the key last, then other nodes it knew: those that the URL names may all be gone by the next time.
  private let known = Mutex<[Host]>([])

  /// nil without a cluster.
  init?(_ configuration: RedisConfiguration) {
    guard case .cluster(let hosts, _) = configuration.endpoint else { return nil }
    seeds = hosts
    self.configuration = configuration
  }

  /// Throws `configuration` when nothing keeps the keys in one slot.
  func check() throws { _ = try key }

  private var key: String {
    get throws {
      let key = configuration.slotKey ?? ""
      let tag = key.drop { $0 != "{" }.dropFirst().prefix { $0 != "}" }
      guard !tag.isEmpty, tag.endIndex < key.endIndex else {
        throw RedisError(code: .configuration, message: RedisError.noHashTag)
      }
      return key
    }
  }

  /// Connects to the node that serves the key now.
  /// Throws `notConnected` with what each node said, or ASK's error while the slot is being moved.
  func connect(silence: TimeAmount) async throws -> RedisConnection {
    let key = try key
    var tried: Set<Attempt> = []
    var complaints: [String] = []
    for host in known.withLock({ Array($0.prefix(1)) + seeds + $0.dropFirst() }) {
      var attempt = Attempt(host: host, isNamed: false)
      while tried.insert(attempt).inserted {
        do {
          switch try await ask(attempt, for: key, silence: silence) {
          case .served(let connection): return connection
          case .named(let other): attempt = Attempt(host: other, isNamed: true)
          }
        } catch let error as RedisError where error.code != .configuration && error.code != .server
        {
          if !complaints.contains(error.message) { complaints.append(error.message) }
        }
      }
    }
    throw RedisError(
      code: .notConnected,
      message: complaints.isEmpty
        ? "its nodes name each other for the slot of \(key); see redis-cli --cluster check"
        : complaints.joined(separator: "; "))
  }

  private func ask(
    _ attempt: Attempt, for key: String, silence: TimeAmount
  ) async throws -> Answer {
    let settings = configuration(for: attempt)
    let connection = try await ConnectionOpener.open(settings, as: .node, silence: silence)
    do {
      let limit = NIODeadline.now() + .milliseconds(Int64(settings.connectTimeoutMilliseconds))
      let reply = try await connection.reply(to: ["EXISTS", .text(key)], deadline: limit)
      guard case .error(let error) = reply else {
        try await learn(on: connection, at: attempt.host, deadline: limit)
        return .served(connection)
      }
      if case .moved(let other?) = Redirection(error, by: attempt.host.name) {
        await connection.close()
        return .named(other)
      }
      throw refusal(error, of: settings, for: key)
    } catch {
      await connection.close()
      throw error
    }
  }

  private func refusal(
    _ error: RedisError, of settings: RedisConfiguration, for key: String
  ) -> RedisError {
    var reason = error.message
    switch Redirection(error, by: "") {
    // Only who serves the slot says so; the others would name it.
    case .underWay: return Redirection.explained(error)
    case .moved:
      reason += " — the node does not know the other's name; set cluster-announce-hostname there"
    case .down: reason += " — redis-cli --cluster check says what the cluster lacks"
    case nil where error.serverCode == "NOPERM":
      reason += " — on every node the user needs +exists ~\(key) ~\(key):*"
    case nil: break
    }
    return ConnectionOpener.notConnected(settings, reason)
  }

  /// Remembers the nodes that this one knows. Throws `notConnected` when it is none of a cluster.
  private func learn(on connection: RedisConnection, at host: Host, deadline: NIODeadline)
    async throws
  {
    let reply = try await connection.reply(to: ["CLUSTER", "SLOTS"], deadline: deadline)
    if case .error(let error) = reply, error.message.contains("cluster support disabled") {
      throw ConnectionOpener.notConnected(
        configuration(for: Attempt(host: host, isNamed: true)),
        "it is a Redis and no node of a Redis Cluster; write redis://")
    }
    // An ACL may refuse it: then those of the URL are all there are.
    let nodes = (reply.array ?? []).flatMap { ($0.array ?? []).dropFirst(2) }.compactMap { node in
      node.array.flatMap {
        Redirection.host(name: $0.first?.text, port: $0.dropFirst().first?.integer, by: host.name)
      }
    }
    var seen: Set<Host> = []
    let distinct = ([host] + nodes).filter { seen.insert($0).inserted }
    known.withLock { $0 = Array(distinct.prefix(Self.knownNodes)) }
  }

  private func configuration(for attempt: Attempt) -> RedisConfiguration {
    var copy = configuration
    copy.endpoint = .tcp(
      host: attempt.host.name, port: attempt.host.port, tls: configuration.endpoint.usesTLS)
    if !attempt.isNamed {
      copy.connectTimeoutMilliseconds = max(100, configuration.connectTimeoutMilliseconds / 3)
    }
    return copy
  }
}
