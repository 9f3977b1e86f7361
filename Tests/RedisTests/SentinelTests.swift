import Foundation
import Redis
import Synchronization
import TestSupport
import Testing

/// The way to a primary that Sentinels name.
@Suite(.serialized) struct SentinelTests {
  private static func service() async throws -> TestSentinels {
    let port = try freePort()
    return try await TestSentinels(
      primary: TestRedis(arguments: TestSentinels.arguments(port: port)), port: port,
      sentinelPorts: TestSentinels.freePorts())
  }

  @Test func theClientFollowsFailoversAndAsksWhoeverAnswers() async throws {
    let service = try await Self.service()
    let stale = try freePort()
    // One that takes a replica for the primary, and will not be corrected by the others.
    try service.startSentinel(3, monitoring: service.serverPorts[1], quorum: 99, on: stale)
    let url = TestSentinels.url([try freePort(), stale] + service.sentinelPorts)
    let reconnects = Mutex(0)
    try await withClient(url) { client in
      client.onReconnect { reconnects.withLock { $0 += 1 } }
      await eventually("the stale Sentinel names the replica") {
        try await client.call(["SET", "k", "1"]).text == "OK"
      }
      #expect(try await service.servers[0].cli("GET", "k") == "1")
      #expect(try await service.servers[0].cli("WAIT", "2", "5000") == "2")

      try await service.failOver()
      let second = try #require(await service.newPrimary(after: 0))
      #expect(try await client.call(["SET", "k", "2"], timeoutMilliseconds: 20_000).text == "OK")
      #expect(try await service.servers[second].cli("GET", "k") == "2")

      service.killSentinel(0)
      await eventually(within: .seconds(20), "the others follow the new primary") {
        try await service.servers[second].cli("INFO", "replication")
          .components(separatedBy: "state=online").count == 3
      }
      service.servers[second].kill()
      let third = try #require(await service.newPrimary(after: second))
      let start = ContinuousClock.now
      #expect(try await client.call(["SET", "k", "3"], timeoutMilliseconds: 20_000).text == "OK")
      print("Sentinel: a call is answered \(ContinuousClock.now - start) after the promotion")
      #expect(try await service.servers[third].cli("GET", "k") == "3")
      #expect(reconnects.withLock { $0 } >= 2)
    }
  }

  @Test func refusalsSayWhatToDo() async throws {
    let service = try await Self.service()
    let unknown = try await Self.refusal(
      TestSentinels.url(service.sentinelPorts, service: "mian"))
    #expect(unknown.contains("knows no service \"mian\" but main; correct the name"))
    let nobody = try await Self.refusal("redis+sentinel://127.0.0.1:1,127.0.0.1:2/main")
    #expect(nobody.contains("127.0.0.1:1: ") && nobody.contains("127.0.0.1:2: "))
    #expect(nobody.contains("cannot use Sentinel at"))
    let replica = try await Self.refusal("redis://127.0.0.1:\(service.serverPorts[1])")
    #expect(replica.contains("it is a replica of 127.0.0.1:\(service.serverPorts[0])"))
    #expect(replica.contains("redis+sentinel://"))
    let sentinel = try await Self.refusal("redis://127.0.0.1:\(service.sentinelPorts[0])")
    #expect(sentinel.contains("it is a Sentinel; write redis+sentinel://HOST:26379/SERVICE"))
    #expect(sentinel.contains("main"))
    let server = try await Self.refusal(TestSentinels.url([service.serverPorts[0]]))
    #expect(server.contains("it is a Redis and no Sentinel"))
  }

  @Test func sentinelsHaveAPasswordOfTheirOwn() async throws {
    let port = try freePort()
    let service = try await TestSentinels(
      primary: TestRedis(arguments: TestSentinels.arguments(port: port)), port: port,
      sentinelPorts: TestSentinels.freePorts())
    for port in service.sentinelPorts {
      _ = try await service.sentinel(
        port, "ACL", "SETUSER", "guide", "on", ">s3cret&", "+@all", "~*", "&*")
      _ = try await service.sentinel(port, "ACL", "SETUSER", "default", "off")
    }
    let without = try await Self.refusal(service.url)
    #expect(without.contains("sentinel_password"), "\(without)")
    let wrong = try await Self.refusal(
      service.url + "?sentinel_username=guide&sentinel_password=wr0ng")
    #expect(wrong.contains("WRONGPASS") && !wrong.contains("wr0ng"), "\(wrong)")
    let url = service.url + "?sentinel_username=guide&sentinel_password=s3cret%26"
    try await withClient(url) { client in
      let answer = try await client.call(["PING"]).text
      #expect(answer == "PONG")
    }
  }

  /// A primary that an operator makes a replica keeps its connections open.
  @Test func aDemotedPrimaryIsLeftAtItsFirstRefusal() async throws {
    let port = try freePort()
    let first = try await TestRedis(arguments: TestSentinels.arguments(port: port))
    try await withClient("redis://127.0.0.1:\(port)") { client in
      _ = try await client.call(["SET", "k", "1"])
      let blocked = try await client.connect()
      async let blockedFailure = failure {
        try await blocked.call(["BLPOP", "none", 0], timeoutMilliseconds: 60_000)
      }
      await eventually("Redis has the command") {
        try await first.cli("INFO", "clients").contains("blocked_clients:1")
      }
      _ = try await first.cli("REPLICAOF", "127.0.0.1", "1")
      #expect(await blockedFailure?.code == .notConnected)
      let refused = await failure {
        try await client.call(["SET", "k", "2"], timeoutMilliseconds: 500)
      }
      #expect(refused?.code == .notConnected, "\(String(describing: refused))")
      await eventually("the status gives the remedy") {
        client.lastFailure?.contains("it is a replica of 127.0.0.1:1; name the primary") == true
      }
      _ = try await first.cli("REPLICAOF", "NO", "ONE")
      #expect(try await client.call(["SET", "k", "3"], timeoutMilliseconds: 20_000).text == "OK")
    }
  }

  private static func refusal(_ url: String) async throws -> String {
    let client = RedisClient(try RedisConfiguration(url: url), logger: quiet)
    let error = try #require(await failure { try await client.connect() })
    #expect(error.code == .notConnected)
    return error.message
  }
}
