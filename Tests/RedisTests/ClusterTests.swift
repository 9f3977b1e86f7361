import Foundation
import Synchronization
import TestSupport
import Testing

@testable import Redis

/// The way to the node of a cluster that serves one key.
@Suite(.serialized) struct ClusterTests {
  private static let key = "{batchd}"

  @Test(arguments: [
    ("MOVED 3999 127.0.0.1:6381", Redirection.moved(.init(name: "127.0.0.1", port: 6381))),
    ("MOVED 3999 r1.example.com:6381", .moved(.init(name: "r1.example.com", port: 6381))),
    ("MOVED 3999 ::1:6381", .moved(.init(name: "::1", port: 6381))),
    // Of a node without a name, which is reached by that of the one that was asked.
    ("MOVED 3999 :6381", .moved(.init(name: "asked", port: 6381))),
    ("MOVED 3999 ?:6381", .moved(nil)), ("MOVED 3999 h:0", .moved(nil)), ("MOVED", .moved(nil)),
    ("ASK 3999 127.0.0.1:6381", .underWay),
    ("TRYAGAIN Multiple keys request during rehashing of slot", .underWay),
    ("CLUSTERDOWN Hash slot not served", .down), ("ERR no", nil), ("READONLY no", nil),
  ])
  func redirectionsAreTold(message: String, _ redirection: Redirection?) {
    #expect(Redirection(RedisError(code: .server, message: message), by: "asked") == redirection)
    #expect(Redirection(RedisError(code: .notConnected, message: message), by: "asked") == nil)
  }

  @Test(arguments: [nil, "batchd", "{}batchd", "{batchd", "}b{"])
  func keysThatAreNotInOneSlotAreRefusedAtOnce(key: String?) async throws {
    var configuration = try RedisConfiguration(url: "redis+cluster://127.0.0.1:1")
    configuration.slotKey = key
    let client = RedisClient(configuration, logger: quiet)
    for error in [
      await failure { try await client.connect() }, await failure { try await client.run() },
    ] {
      #expect(error?.code == .configuration)
      #expect(error?.message.contains("the prefix must be in braces, \"{batchd}\"") == true)
    }
  }

  @Test func theClientFollowsItsKey() async throws {
    let cluster = try await TestCluster()
    let first = try #require(await cluster.owner(of: Self.key))
    let second = try #require(try await cluster.replicas(of: first).first)
    let third = try await cluster.otherPrimary(than: first)
    // One that nobody is at, and a replica.
    let seed = try #require(try await cluster.replicas(of: third).first)
    let url = TestCluster.url([try freePort(), cluster.ports[seed]])
    try await withClient(url, slotKey: Self.key) { client in
      #expect(try await client.call(["SET", "{batchd}:k", "1"]).text == "OK")
      #expect(try await cluster.nodes[first].cli("GET", "{batchd}:k") == "1")
      let blocked = try await client.connect()
      // All that the URL names is gone.
      cluster.nodes[seed].kill()

      async let unblocked = failure {
        try await blocked.call(["BLPOP", "{batchd}:none", 0], timeoutMilliseconds: 60_000)
      }
      await eventually("it is blocked") {
        try await cluster.nodes[first].cli("INFO", "clients").contains("blocked_clients:1")
      }
      #expect(try await cluster.nodes[second].cli("CLUSTER", "FAILOVER") == "OK")
      #expect(await unblocked?.code == .notConnected)
      await eventually("the replica is promoted") { await cluster.owner(of: Self.key) == second }
      #expect(try await client.call(["SET", "{batchd}:k", "2"]).text == "OK")
      #expect(try await cluster.nodes[second].cli("GET", "{batchd}:k") == "2")

      try await Self.expectMovesAreFollowed(cluster, client, from: second, to: third)
      try await Self.expectNodesThatAreCutOffAreLeft(cluster, client, owner: third)

      await eventually(within: .seconds(20), "the old primary is a replica in step") {
        try await cluster.nodes[first].cli("INFO", "replication").contains("link_status:up")
      }
    }
    try await Self.expectRefusalsSayWhatToDo(cluster, owner: third, other: second)
  }

  /// While the slot is being moved nothing is followed, and nothing that was there before is lost.
  private static func expectMovesAreFollowed(
    _ cluster: TestCluster, _ client: RedisClient, from source: Int, to target: Int
  ) async throws {
    // Writes behind the back of the keys that it declares, as the functions of the queue do.
    let library = """
      #!lua name=probe
      redis.register_function('probe_write', function(keys)
        redis.call('INCR', keys[1] .. ':runs')
        return redis.call('GET', keys[1] .. ':k')
      end)
      """
    _ = try await client.call(["FUNCTION", "LOAD", .text(library)])
    let write: [RedisArgument] = ["FCALL", "probe_write", 1, .text(key)]
    #expect(try await client.call(write).text == "2")
    let idle = try await client.connect()
    async let idleFailure = failure {
      try await idle.call(["BLPOP", "{batchd}:none", 0], timeoutMilliseconds: 60_000)
    }
    try await cluster.move(slotOf: key, from: source, to: target) {
      let asked = await failure { try await client.call(write) }
      #expect(asked?.serverCode == "ASK")
      #expect(asked?.message.contains("its slot is being moved between nodes") == true)
      // A key that has not left yet is still served, and so is the connection.
      let left = try await cluster.nodes[source].cli("EXISTS", "{batchd}:k", "{batchd}:runs")
      #expect(left.hasPrefix("TRYAGAIN"), "\(left)")
      let refused = await failure { try await client.connect() }
      #expect(refused?.serverCode == "ASK")
      #expect(client.isConnected)
    }
    #expect(await idleFailure?.code == .notConnected)
    #expect(try await client.call(["GET", "{batchd}:runs"]).text == "1")
    #expect(try await cluster.nodes[target].cli("GET", "{batchd}:k") == "2")
  }

  /// A primary that hears of no other one refuses all, for it may have been replaced: the client looks for another.
  private static func expectNodesThatAreCutOffAreLeft(
    _ cluster: TestCluster, _ client: RedisClient, owner: Int
  ) async throws {
    let write: [RedisArgument] = ["SET", "{batchd}:k", "3"]
    for number in cluster.nodes.indices where number != owner { cluster.nodes[number].suspend() }
    await eventually(within: .seconds(20), "it refuses") {
      let refused = await failure { try await client.call(write, timeoutMilliseconds: 300) }
      return refused?.message.contains("CLUSTERDOWN") == true && !client.isConnected
    }
    for number in cluster.nodes.indices { cluster.nodes[number].resume() }
    #expect(try await client.call(write, timeoutMilliseconds: 20_000).text == "OK")
  }

  private static func expectRefusalsSayWhatToDo(
    _ cluster: TestCluster, owner: Int, other: Int
  ) async throws {
    let port = cluster.ports[other]
    try await withClient("redis://127.0.0.1:\(port)", timeoutMilliseconds: 300) { client in
      await eventually { client.isConnected }
      let moved = await failure { try await client.call(["GET", "{batchd}:k"]) }
      #expect(moved?.code == .notConnected)
      let connection = try await client.connect()
      let replies = try await connection.callAll([["GET", "{batchd}:k"], ["PING"]])
      guard case .error(let error) = replies[0] else { throw RedisError.deadlineExceeded }
      #expect(
        error.code == .notConnected
          && error.message.contains(
            "write redis+cluster://127.0.0.1:\(port) and a prefix in braces, {batchd}"),
        "\(error)")
    }
    // The slot of nobody.
    let slot = try await cluster.nodes[owner].cli("CLUSTER", "KEYSLOT", key)
    for number in cluster.nodes.indices {
      _ = try? await cluster.nodes[number].cli("CLUSTER", "DELSLOTS", slot)
    }
    let nobody = try await refusal(cluster.url)
    #expect(nobody.contains("CLUSTERDOWN"), "\(nobody)")
    #expect(nobody.contains("redis-cli --cluster check says what the cluster lacks"))
    for number in cluster.nodes.indices { cluster.nodes[number].kill() }
    let gone = try await refusal(cluster.url)
    #expect(cluster.ports.allSatisfy { gone.contains("127.0.0.1:\($0): ") }, "\(gone)")
  }

  @Test func aRedisThatIsNoNodeIsNamed() async throws {
    let port = try freePort()
    let server = try await TestRedis(arguments: TestSentinels.arguments(port: port))
    let message = try await Self.refusal("redis+cluster://127.0.0.1:\(port)")
    #expect(message.contains("it is a Redis and no node of a Redis Cluster; write redis://"))
    withExtendedLifetime(server) {}
  }

  private static func refusal(_ url: String) async throws -> String {
    var configuration = try RedisConfiguration(url: url)
    configuration.slotKey = key
    let client = RedisClient(configuration, logger: quiet)
    let error = try #require(await failure { try await client.connect() })
    #expect(error.code == .notConnected)
    return error.message
  }
}
