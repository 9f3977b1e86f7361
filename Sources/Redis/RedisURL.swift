/// The parts of a Redis URL. Its own parser, because the errors must not repeat the URL.
struct RedisURL {
  var endpoint: RedisConfiguration.Endpoint
  var user: String?
  var password: String?
  var database = 0
  var sentinelUser: String?
  var sentinelPassword: String?

  init(_ url: String) throws {
    guard let colon = url.firstIndex(of: ":"), url[colon...].hasPrefix("://") else {
      throw Self.error("has no scheme; write \(Self.schemes)")
    }
    let scheme = url[..<colon].lowercased()
    let hasSentinels = scheme.hasSuffix("+sentinel")
    var rest = url[colon...].dropFirst("://".count)
    // Its options may hold a password, and that an "@", which must not make a user name of the rest.
    let query = hasSentinels ? Self.cutFirst(&rest, after: "?") : Self.cut(&rest, after: "?")
    // The last "@", so that a password that holds one and was not encoded still works.
    if !rest.hasPrefix("/"), let at = rest.lastIndex(of: "@") {
      let owner = rest[..<at]
      rest = rest[rest.index(after: at)...]
      let parts = owner.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
      user = try Self.decode(parts[0])
      if user == "" { user = nil }
      if parts.count == 2 { password = try Self.decode(parts[1]) }
      if password == "" { password = nil }
    }
    switch scheme {
    case "redis", "rediss":
      if let path = Self.cut(&rest, after: "/"), !path.isEmpty {
        database = try Self.database(path)
      }
      let (host, port) = try Self.host(rest, port: 6379)
      endpoint = .tcp(host: host, port: port, tls: scheme == "rediss")
    case "redis+sentinel", "rediss+sentinel":
      let path = Self.cutFirst(&rest, after: "/") ?? ""
      let parts = path.split(separator: "/", maxSplits: 1)
      if parts.count == 2 { database = try Self.database(parts[1]) }
      endpoint = try Self.sentinels(
        rest, service: parts.first, tls: scheme.hasPrefix("rediss"))
    case "redis+cluster", "rediss+cluster":
      if let path = Self.cut(&rest, after: "/"), !path.isEmpty {
        database = try Self.database(path)
      }
      endpoint = .cluster(
        hosts: try Self.hosts(rest, port: 6379), tls: scheme.hasPrefix("rediss"))
    case "unix", "redis+unix":
      let path = try Self.decode(rest)
      guard path.hasPrefix("/") else {
        throw Self.error("names no absolute path; write unix:///run/redis/redis.sock")
      }
      endpoint = .unix(path: path)
    default:
      throw Self.error("has the scheme “\(scheme)”; write \(Self.schemes)")
    }
    for option in (query ?? "").split(separator: "&") {
      let parts = option.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      switch (parts[0], parts.last!) {
      case ("db", let number) where parts.count == 2: database = try Self.database(number)
      case ("sentinel_username", let name) where hasSentinels: sentinelUser = try Self.decode(name)
      case ("sentinel_password", let word) where hasSentinels:
        sentinelPassword = try Self.decode(word)
      default:
        throw Self.error(
          "has an option other than db=N\(hasSentinels ? ", sentinel_username= or sentinel_password=" : "") after “?”"
        )
      }
    }
    if case .cluster = endpoint, database != 0 {
      throw Self.error("names a database; a Redis Cluster has only database 0")
    }
  }

  private static let schemes =
    "redis://, redis+sentinel:// or redis+cluster://, each with rediss for TLS, or unix://"

  private static func sentinels(
    _ text: Substring, service: Substring?, tls: Bool
  ) throws -> RedisConfiguration.Endpoint {
    guard let service = try service.map(Self.decode), !service.isEmpty else {
      throw Self.error("names no service; write redis+sentinel://HOST:26379,HOST:26379/SERVICE")
    }
    return .sentinel(hosts: try hosts(text, port: 26_379), service: service, tls: tls)
  }

  private static func hosts(
    _ text: Substring, port standard: Int
  ) throws -> [RedisConfiguration.Host] {
    try text.split(separator: ",", omittingEmptySubsequences: false).map {
      let (name, port) = try Self.host($0, port: standard)
      return RedisConfiguration.Host(name: name, port: port)
    }
  }

  private static func cutFirst(
    _ text: inout Substring, after separator: Character
  ) -> Substring? {
    guard let index = text.firstIndex(of: separator) else { return nil }
    defer { text = text[..<index] }
    return text[text.index(after: index)...]
  }

  /// Takes what follows the first separator off the text.
  private static func cut(_ text: inout Substring, after separator: Character) -> Substring? {
    // A "?" or "/" before the last "@" belongs to a password that was not encoded.
    let start = text.hasPrefix("/") ? text.startIndex : text.lastIndex(of: "@") ?? text.startIndex
    guard let index = text[start...].firstIndex(of: separator) else { return nil }
    defer { text = text[..<index] }
    return text[text.index(after: index)...]
  }

  private static func host(
    _ text: Substring, port standard: Int
  ) throws -> (name: String, port: Int) {
    var host = text
    var port: Substring?
    if text.hasPrefix("["), let end = text.firstIndex(of: "]") {
      host = text[text.index(after: text.startIndex)..<end]
      let after = text[text.index(after: end)...]
      guard after.isEmpty || after.hasPrefix(":") else { throw error("has no “:” after “]”") }
      port = after.isEmpty ? nil : after.dropFirst()
    } else if let colon = text.lastIndex(of: ":") {
      host = text[..<colon]
      port = text[text.index(after: colon)...]
    }
    guard !host.isEmpty else { throw error("names no host") }
    let number = port.map { Int($0) ?? 0 } ?? standard
    guard (1...65_535).contains(number) else {
      throw error("has a port that is not a number from 1 to 65535")
    }
    return (String(host), number)
  }

  private static func database(_ text: Substring) throws -> Int {
    guard let number = Int(text), number >= 0 else {
      throw error("has a database that is not a number")
    }
    return number
  }

  private static func decode(_ text: Substring) throws -> String {
    var bytes: [UInt8] = []
    var rest = text.utf8[...]
    while let byte = rest.popFirst() {
      guard byte == UInt8(ascii: "%") else {
        bytes.append(byte)
        continue
      }
      let digits = rest.prefix(2)
      guard digits.count == 2, let code = UInt8(Substring(digits), radix: 16) else {
        throw error("has a “%” that two hexadecimal digits do not follow; write %25 for it")
      }
      bytes.append(code)
      rest = rest.dropFirst(2)
    }
    guard let decoded = String(validating: bytes, as: UTF8.self) else {
      throw error("has an encoded byte sequence that is not UTF-8")
    }
    return decoded
  }

  private static func error(_ what: String) -> RedisError {
    RedisError(code: .configuration, message: "the Redis URL \(what)")
  }
}
