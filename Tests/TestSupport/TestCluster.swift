import Foundation
import Testing

/// A Redis Cluster on loopback TCP: three primaries and a replica for each, all real.
public final class TestCluster: Sendable {
  public let nodes: [TestRedis]
  public let ports: [Int]

  /// Names every node.
  public var url: String { Self.url(ports) }

  /// - Parameter user: `NAME:PASSWORD`
  public static func url(_ ports: [Int], user: String? = nil) -> String {
    "redis+cluster://\(user.map { "\($0)@" } ?? "")"
      + ports.map { "127.0.0.1:\($0)" }.joined(separator: ",")
  }

  /// - Parameter arguments: of each node, beside those of a cluster.
  public init(arguments: [String] = []) async throws {
    var nodes: [TestRedis] = []
    var ports: [Int] = []
    for _ in 0..<6 {
      ports.append(try freePort())
      nodes.append(
        try await TestRedis(
          arguments: [
            "--port", "\(ports.last!)", "--bind", "127.0.0.1", "--cluster-enabled", "yes",
            "--cluster-port", "\(try freePort())", "--cluster-node-timeout", "2000",
            "--repl-diskless-sync-delay", "0", "--repl-ping-replica-period", "1",
          ] + arguments))
    }
    self.nodes = nodes
    self.ports = ports
    _ = try await nodes[0].shell(
      "redis-cli --cluster create \(ports.map { "127.0.0.1:\($0)" }.joined(separator: " "))"
        + " --cluster-replicas 1 --cluster-yes")
    await eventually(within: .seconds(30), "the nodes know each other, and replicas are in step") {
      for node in nodes {
        let state = try await node.cli("CLUSTER", "INFO")
        let replication = try await node.cli("INFO", "replication")
        guard state.contains("cluster_state:ok"), state.contains("cluster_known_nodes:6"),
          try await node.cli("CLUSTER", "SLOTS").components(separatedBy: "127.0.0.1").count == 7,
          replication.contains("state=online") || replication.contains("master_link_status:up")
        else { return false }
      }
      return true
    }
  }

  /// The node that serves the key; nil while none does.
  public func owner(of key: String) async -> Int? {
    for number in nodes.indices {
      // "1" where the key itself exists; ASK while it is leaving.
      let reply = try? await nodes[number].cli("EXISTS", key)
      if let reply, reply == "0" || reply == "1" || reply.hasPrefix("ASK") { return number }
    }
    return nil
  }

  /// A primary that does not serve the key.
  public func otherPrimary(than owner: Int) async throws -> Int {
    for number in nodes.indices where number != owner {
      if await isPrimary(number) { return number }
    }
    throw ChildProcess.Failure(description: "no other primary")
  }

  private func isPrimary(_ number: Int) async -> Bool {
    (try? await nodes[number].cli("ROLE"))?.hasPrefix("master") == true
  }

  /// The replicas of a primary.
  public func replicas(of owner: Int) async throws -> [Int] {
    let text = try await nodes[owner].cli("INFO", "replication")
    return nodes.indices.filter { text.contains("port=\(ports[$0]),") }
  }

  /// Moves the slot of the key as `redis-cli --cluster reshard` does, but key by key, while clients go on.
  /// - Parameter midway: runs when half of the keys are there.
  public func move(
    slotOf key: String, from source: Int, to target: Int, midway: () async throws -> Void = {}
  ) async throws {
    let slot = try await nodes[source].cli("CLUSTER", "KEYSLOT", key)
    let (sourceID, targetID) = (try await id(source), try await id(target))
    try await demandOK(target, "CLUSTER", "SETSLOT", slot, "IMPORTING", sourceID)
    try await demandOK(source, "CLUSTER", "SETSLOT", slot, "MIGRATING", targetID)
    let count = Int(try await nodes[source].cli("CLUSTER", "COUNTKEYSINSLOT", slot)) ?? 0
    try await migrate(slot, source, target, most: count / 2)
    try await midway()
    try await migrate(slot, source, target, most: .max)
    // The target first: no moment may come in which nobody serves the slot.
    let others = nodes.indices.filter { $0 != target && $0 != source }
    for number in [target, source] + others where await isPrimary(number) {
      try await demandOK(number, "CLUSTER", "SETSLOT", slot, "NODE", targetID)
    }
  }

  private func migrate(_ slot: String, _ source: Int, _ target: Int, most: Int) async throws {
    let script = """
      moved=0
      while [ $moved -lt \(most) ] && key=$(rcli CLUSTER GETKEYSINSLOT \(slot) 1) && [ -n "$key" ]; do
        rcli MIGRATE 127.0.0.1 \(ports[target]) "$key" 0 5000 | grep -qx OK || exit 1
        moved=$((moved + 1))
      done
      """
    _ = try await nodes[source].shell(script)
  }

  private func id(_ number: Int) async throws -> String {
    try await nodes[number].cli("CLUSTER", "MYID")
  }

  private func demandOK(_ number: Int, _ words: String...) async throws {
    let reply = try await nodes[number].cli(words)
    guard reply == "OK" else {
      throw ChildProcess.Failure(description: "\(words.joined(separator: " ")): \(reply)")
    }
  }
}
