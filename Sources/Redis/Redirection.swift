/// What a node of a Redis Cluster answers when it executes nothing, because of where the slot of the keys is.
enum Redirection: Equatable {
  /// Another node serves the slot; nil where the answer does not say which.
  case moved(RedisConfiguration.Host?)
  /// The slot is on its way to another node, key by key. Whoever follows would find some of the keys there and the others
  /// not, so it is to be waited for.
  case underWay
  /// The cluster, or this node's part of it, serves nothing.
  case down

  /// - Parameter name: of the node that answered, by which one without a name of its own is reached, too.
  init?(_ error: RedisError, by name: String) {
    switch error.serverCode {
    case "MOVED": self = .moved(Self.host(error.message, by: name))
    case "ASK", "TRYAGAIN": self = .underWay
    case "CLUSTERDOWN": self = .down
    default: return nil
    }
  }

  /// `MOVED SLOT NAME:PORT`. The name may be an IPv6 address without brackets, empty, or `?`.
  private static func host(_ message: String, by name: String) -> RedisConfiguration.Host? {
    let words = message.split(separator: " ")
    guard words.count == 3, let colon = words[2].lastIndex(of: ":") else { return nil }
    return host(
      name: String(words[2][..<colon]), port: Int(words[2][words[2].index(after: colon)...]),
      by: name)
  }

  /// A node as a cluster names it: an empty name is that of the one that was asked, `?` one that nobody was told.
  static func host(name: String?, port: Int?, by asked: String) -> RedisConfiguration.Host? {
    guard let port, (1...65_535).contains(port), name != "?" else { return nil }
    return RedisConfiguration.Host(
      name: name.flatMap { $0.isEmpty ? nil : $0 } ?? asked, port: port)
  }

  /// A refusal with what it means, where Redis's own words leave that open.
  static func explained(_ error: RedisError) -> RedisError {
    guard error.code == .server, let meaning = meaning(of: error) else { return error }
    return RedisError(code: .server, message: "\(error.message) — \(meaning)")
  }

  private static func meaning(of error: RedisError) -> String? {
    if Redirection(error, by: "") == .underWay {
      "its slot is being moved between nodes of the cluster; it is served again when that has ended (redis-cli --cluster check)"
    } else if error.message.contains("keys that do not hash to the same slot") {
      RedisError.noHashTag
    } else {
      nil
    }
  }
}

extension RedisError {
  static let noHashTag =
    "on Redis Cluster the prefix must be in braces, \"{batchd}\", so that all its keys are in one slot"
}
