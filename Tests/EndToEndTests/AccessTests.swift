import Redis
import TestSupport
import Testing

extension ProcessTests {
  /// Every worker of these tests runs as the user of `deploy/redis.acl`; here: that it may do no more.
  @Suite struct AccessTests {
    @Test func theDocumentedUserMayDoNothingElse() async throws {
      try await Site.with(Site.Settings(jobs: 1)) { site in
        let others = [
          ["CONFIG", "GET", "*"], ["CONFIG", "SET", "maxmemory", "1"], ["FLUSHALL"], ["FLUSHDB"],
          ["KEYS", "*"], ["SHUTDOWN", "NOSAVE"], ["EVAL", "return 1", "0"], ["SCRIPT", "FLUSH"],
          ["FUNCTION", "FLUSH"], ["FUNCTION", "DELETE", "batchd"], ["ACL", "LIST"],
          ["MONITOR"], ["SLAVEOF", "NO", "ONE"],
          ["CLIENT", "KILL", "ID", "1"], ["CLUSTER", "RESET"], ["CLUSTER", "NODES"],
          ["SUBSCRIBE", "x"],
          ["GET", "else"], ["LPUSH", "else", "x"], ["HGETALL", "batchd2:meta"],
          ["FCALL", "batchd_cancel", "1", "else", "b1"],
        ]
        for words in others {
          let reply = try await site.redis.cli(
            ["--user", "batchd", "--pass", Site.password, "--no-auth-warning"] + words)
          #expect(reply.hasPrefix("NOPERM"), "\(words): \(reply)")
        }
      }
    }
  }
}
