/// The parts of a Redis URL. Its own parser, because the errors must not repeat the URL.
struct RedisURL {
  var endpoint: RedisConfiguration.Endpoint
  var user: String?
  var password: String?
  var database = 0

  init(_ url: String) throws {
    guard let colon = url.firstRange(of: "://") else {
      throw Self.error("has no scheme; write redis://, rediss:// or unix://")
    }
    let scheme = url[..<colon.lowerBound].lowercased()
    var rest = url[colon.upperBound...]
    let query = Self.cut(&rest, after: "?")
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
      endpoint = try Self.address(rest, tls: scheme == "rediss")
    case "unix", "redis+unix":
      let path = try Self.decode(rest)
      guard path.hasPrefix("/") else {
        throw Self.error("names no absolute path; write unix:///run/redis/redis.sock")
      }
      endpoint = .unix(path: path)
    default:
      throw Self.error("has the scheme “\(scheme)”; write redis://, rediss:// or unix://")
    }
    guard let query else { return }
    for option in query.split(separator: "&") {
      guard option.hasPrefix("db=") else {
        throw Self.error("has an option other than db=N after “?”")
      }
      database = try Self.database(option.dropFirst(3))
    }
  }

  /// Takes what follows the first separator off the text.
  private static func cut(_ text: inout Substring, after separator: Character) -> Substring? {
    // A "?" or "/" before the last "@" belongs to a password that was not encoded.
    let start = text.hasPrefix("/") ? text.startIndex : text.lastIndex(of: "@") ?? text.startIndex
    guard let index = text[start...].firstIndex(of: separator) else { return nil }
    defer { text = text[..<index] }
    return text[text.index(after: index)...]
  }

  private static func address(
    _ text: Substring, tls: Bool
  ) throws -> RedisConfiguration.Endpoint {
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
    let number = port.map { Int($0) ?? 0 } ?? 6379
    guard (1...65_535).contains(number) else {
      throw error("has a port that is not a number from 1 to 65535")
    }
    return .tcp(host: String(host), port: number, tls: tls)
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
