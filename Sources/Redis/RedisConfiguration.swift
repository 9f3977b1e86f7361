/// Where Redis is and how to talk to it. Printing it never shows the password.
public struct RedisConfiguration: Sendable {
  enum Endpoint: Sendable, Hashable {
    case tcp(host: String, port: Int, tls: Bool)
    case unix(path: String)
    /// The Sentinels that know where the primary of `service` is; `tls` is for them and for it.
    case sentinel(hosts: [Host], service: String, tls: Bool)
    /// Some nodes of a cluster, which know the others.
    case cluster(hosts: [Host], tls: Bool)

    var usesTLS: Bool {
      switch self {
      case .tcp(_, _, let tls), .sentinel(_, _, let tls), .cluster(_, let tls): tls
      case .unix: false
      }
    }
  }

  struct Host: Sendable, Hashable, CustomStringConvertible {
    let name: String
    let port: Int

    var description: String { name.contains(":") ? "[\(name)]:\(port)" : "\(name):\(port)" }
  }

  var endpoint: Endpoint
  /// The ACL user; nil is Redis's `default`.
  public var user: String?
  /// Sent with AUTH on every new connection; nil sends no AUTH.
  public var password: String?
  /// Selected on every new connection.
  public var database = 0
  /// On Redis Cluster the key whose node is connected to; every other key must be in the same slot. Its hash tag, in braces,
  /// sees to that where they all begin with it.
  public var slotKey: String?
  /// The Sentinels' own ACL user and password, with `redis+sentinel://` only; nil sends no AUTH.
  public var sentinelUser: String?
  public var sentinelPassword: String?
  /// PEM file of the CAs to trust, instead of the system's. With `rediss://` only, as the next two.
  public var caFile: String?
  /// PEM file of the client certificate and its chain.
  public var certificateFile: String?
  /// PEM file of the client certificate's key.
  public var keyFile: String?
  /// For connecting, TLS, AUTH and SELECT together.
  public var connectTimeoutMilliseconds = Self.usualConnectTimeoutMilliseconds
  public static let usualConnectTimeoutMilliseconds = 3_000
  /// For a call that names no other timeout.
  public var callTimeoutMilliseconds = 5_000
  /// Memory that one reply may take.
  public var replyBytes = 64 << 20
  /// Calls that may wait at once, for a reply or for a connection.
  public var waitingCalls = 100_000
  /// Shown by CLIENT LIST; without spaces.
  public var clientName = "batchd"

  /// Reads `redis://[user[:password]@]host[:port][/db]`, `rediss://…` (TLS), and
  /// `unix:///path/to.sock[?db=N]` or `redis+unix://…`, and
  /// `redis+sentinel://[user[:password]@]host[:port],…/service[/db]` (`rediss+sentinel://` with TLS),
  /// with the Sentinels' own `?sentinel_username=…&sentinel_password=…`, and
  /// `redis+cluster://[user[:password]@]host[:port],…` (`rediss+cluster://` with TLS), which wants a `slotKey`. What is secret
  /// may be percent-encoded.
  /// Throws `RedisError` (`configuration`), which repeats nothing that could be a password.
  public init(url: String) throws {
    let parts = try RedisURL(url)
    endpoint = parts.endpoint
    user = parts.user
    password = parts.password
    database = parts.database
    sentinelUser = parts.sentinelUser
    sentinelPassword = parts.sentinelPassword
  }

  /// The address without the password, for log lines.
  public var displayName: String {
    let who = user.map { "\($0)@" } ?? ""
    let db = database == 0 ? "" : "\(database)"
    switch endpoint {
    case .tcp(let host, let port, let tls):
      let name = Host(name: host, port: port)
      return "\(tls ? "rediss" : "redis")://\(who)\(name)\(db.isEmpty ? "" : "/\(db)")"
    case .sentinel(let hosts, let service, let tls):
      let names = hosts.map(\.description).joined(separator: ",")
      return "\(tls ? "rediss" : "redis")+sentinel://\(who)\(names)/\(service)"
        + (db.isEmpty ? "" : "/\(db)")
    case .cluster(let hosts, let tls):
      let names = hosts.map(\.description).joined(separator: ",")
      return "\(tls ? "rediss" : "redis")+cluster://\(who)\(names)"
    case .unix(let path):
      return "unix://\(who)\(path)\(db.isEmpty ? "" : "?db=\(db)")"
    }
  }
}

extension RedisConfiguration: CustomStringConvertible, CustomDebugStringConvertible,
  CustomReflectable
{
  public var description: String { displayName }
  public var debugDescription: String { displayName }
  /// Hides the stored properties, which `dump` and string interpolation of an owner would print.
  public var customMirror: Mirror { Mirror(self, children: ["address": displayName]) }
}
