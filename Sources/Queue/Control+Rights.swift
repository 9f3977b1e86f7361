internal import Redis

/// Whether this user of Redis may do what workers and commands need: deploy/redis.acl, asked of Redis itself.
extension Control {
  /// Each command as Redis takes it; K stands for a key under the prefix, P for the prefix itself.
  static let neededCommands = """
    acl|dryrun U ping, acl|whoami, blmove K K LEFT LEFT 0, client|reply ON, client|setname x, \
    cluster|slots, del K, exists K, expire K 1, fcall f 1 P, function|load x, get K, hdel K f, \
    hexists K f, hget K f, hgetall K, hincrby K f 1, hkeys K, hlen K, hmget K f, hrandfield K, \
    hscan K 0, hset K f v, hsetnx K f v, hstrlen K f, info, lindex K 0, llen K, \
    lmove K K LEFT LEFT, lpop K, lpos K v, lpush K v, lrange K 0 0, lrem K 0 v, mget K, persist K, \
    pexpireat K 1, ping, rename K K, role, rpop K, rpush K v, sadd K m, scan 0, scard K, select 0, \
    set K v, sismember K m, smembers K, smismember K m, srandmember K, srem K m, time, ttl K, \
    type K, unlink K, xack K g 0-1, xadd K * f v, xautoclaim K g c 0 0-0, xclaim K g c 0 0-1, \
    xdel K 0-1, xgroup|create K g $, xgroup|delconsumer K g c, xlen K, xpending K g, xrange K - +, \
    xreadgroup GROUP g c STREAMS K >, xrevrange K + -, xtrim K MAXLEN 0, zadd K 0 m, zcard K, \
    zcount K 0 0, zpopmin K, zrange K 0 0, zrangebyscore K 0 0, zrem K m, zremrangebyrank K 0 0, \
    zremrangebyscore K 0 0, zscan K 0, zscore K m
    """
    .split(separator: ", ").map { $0.split(separator: " ").map(String.init) }

  /// Asks Redis of each command whether this user might send it; nothing is executed.
  public func checkRights() async throws -> Area {
    do {
      let user = try await read([["ACL", "WHOAMI"]])[0].text ?? "default"
      // Only on a cluster is anything in braces.
      let needed = Self.neededCommands.filter {
        $0[0] != "cluster|slots" || keys.prefix.hasPrefix("{")
      }
      let replies = try await read(needed.map { dryRun($0, of: user) })
      let denied = zip(needed, replies).filter { $0.1.text != "OK" }
      guard !denied.isEmpty else { return Area("rights", "user \(user) has them all") }
      // Redis looks at the command first: where it complains of a key, the command is allowed.
      let isKey = { (reply: RedisValue) in reply.text?.contains("access") ?? false }
      let words = denied.filter { !isKey($0.1) }.map { "+\($0.0[0])" }
      let patterns =
        denied.contains { isKey($0.1) } ? ["~\(keys.prefix)", "~\(keys.prefix):*"] : []
      let missing = words + patterns
      return Area(
        "rights", "user \(user)",
        findings: [
          Finding(
            "rights", "user \(user) may not do all that workers need: \(Self.list(missing))",
            remedy: "ACL SETUSER \(user) \(missing.joined(separator: " ")), and in the ACL file; "
              + "deploy/redis.acl has the whole line")
        ])
    } catch let error as RedisError where error.code == .server && error.serverCode != "MISCONF" {
      return Area(
        "rights", "not checked",
        notes: [
          "this user may not ask for its own rights (\(error.message)): +acl|whoami +acl|dryrun allow it"
        ])
    }
  }

  /// What a restart would lose: Redis reads its append-only file as the user `default`, asks at each transaction whether that
  /// may write (redis#14541, valkey#3983), and functions write nearly all in transactions.
  public func checkLoading(_ info: [String: String]) async throws -> Finding? {
    guard info["aof_enabled"] == "1" else { return nil }
    let reply = try await connection.callAll([dryRun(["hset", "K", "f", "v"], of: "default")])[0]
    // Who may not ask is told so by `checkRights`.
    if case .error = reply { return nil }
    guard reply.text != "OK" else { return nil }
    return Finding(
      "redis",
      "would throw away most of batchd's data at its next start: it reads its append-only file as user default, who may not write",
      remedy:
        "ACL SETUSER default off ~* &* +@all, and in the ACL file: off lets nobody in, whatever his rights"
    )
  }

  private func dryRun(_ command: [String], of user: String) -> [RedisArgument] {
    let words = command[0].split(separator: "|").map(String.init) + command.dropFirst()
    return ["ACL", "DRYRUN", .text(user)]
      + words.map { word in
        switch word {
        case "K": .text("\(keys.prefix):doctor")
        case "P": .text(keys.prefix)
        case "U": .text(user)
        default: .text(word)
        }
      }
  }

  private static func list(_ words: [String]) -> String {
    let most = 12
    let more = words.count > most ? " and \(words.count - most) more" : ""
    return words.prefix(most).joined(separator: " ") + more
  }
}
