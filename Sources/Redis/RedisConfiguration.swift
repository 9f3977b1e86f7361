/// Where Redis is and how to talk to it. Printing it never shows the password.
public struct RedisConfiguration: Sendable {
  enum Endpoint: Sendable, Hashable {
    case tcp(host: String, port: Int, tls: Bool)
    case unix(path: String)
  }

  var endpoint: Endpoint
  /// The ACL user; nil is Redis's `default`.
  public var user: String?
  /// Sent with AUTH on every new connection; nil sends no AUTH.
  public var password: String?
  /// Selected on every new connection.
  public var database = 0
  /// PEM file of the CAs to trust, instead of the system's. With `rediss://` only, as the next two.
  public var caFile: String?
  /// PEM file of the client certificate and its chain.
  public var certificateFile: String?
  /// PEM file of the client certificate's key.
  public var keyFile: String?
  /// For connecting, TLS, AUTH and SELECT together.
  public var connectTimeoutMilliseconds = 3_000
  /// For a call that names no other timeout.
  public var callTimeoutMilliseconds = 5_000
  /// Memory that one reply may take.
  public var replyBytes = 64 << 20
  /// Calls that may wait at once, for a reply or for a connection.
  public var waitingCalls = 100_000
  /// Shown by CLIENT LIST; without spaces.
  public var clientName = "batchd"

  /// Reads `redis://[user[:password]@]host[:port][/db]`, `rediss://…` (TLS), and
  /// `unix:///path/to.sock[?db=N]` or `redis+unix://…`. User and password may be percent-encoded.
  /// Throws `RedisError` (`configuration`), which repeats nothing that could be a password.
  public init(url: String) throws {
    let parts = try RedisURL(url)
    endpoint = parts.endpoint
    user = parts.user
    password = parts.password
    database = parts.database
  }

  /// The address without the password, for log lines.
  public var displayName: String {
    let who = user.map { "\($0)@" } ?? ""
    let db = database == 0 ? "" : "\(database)"
    switch endpoint {
    case .tcp(let host, let port, let tls):
      let name = host.contains(":") ? "[\(host)]" : host
      return "\(tls ? "rediss" : "redis")://\(who)\(name):\(port)\(db.isEmpty ? "" : "/\(db)")"
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
