import Foundation
import Synchronization
import Testing

/// A service "main" under Sentinel on loopback TCP: one primary, two replicas, three Sentinels, all real.
public final class TestSentinels: Sendable {
  /// The primary first, as they were at the start.
  public let servers: [TestRedis]
  public let serverPorts: [Int]
  public let sentinelPorts: [Int]
  private let sentinels = Mutex<[BoundProcess]>([])
  private let folder: TestFolder

  /// What the primary has to be started with; its port is the first of `serverPorts`.
  public static func arguments(port: Int) -> [String] {
    ["--port", "\(port)", "--bind", "127.0.0.1", "--repl-diskless-sync-delay", "0"]
  }

  public static func url(_ ports: [Int], service: String = "main") -> String {
    "redis+sentinel://\(ports.map { "127.0.0.1:\($0)" }.joined(separator: ","))/\(service)"
  }

  public var url: String { Self.url(sentinelPorts) }

  /// - Parameters:
  ///   - primary: listens on `port`, too.
  ///   - arguments: of the replicas, beside those of the primary.
  public init(
    primary: TestRedis, port: Int, sentinelPorts: [Int], arguments: [String] = []
  ) async throws {
    folder = try TestFolder()
    self.sentinelPorts = sentinelPorts
    var servers = [primary]
    var ports = [port]
    for _ in 0..<2 {
      ports.append(try freePort())
      servers.append(
        try await TestRedis(
          arguments: Self.arguments(port: ports.last!) + ["--replicaof", "127.0.0.1", "\(port)"]
            + arguments))
    }
    self.servers = servers
    serverPorts = ports
    await eventually(within: .seconds(20), "the replicas are in step") {
      try await primary.cli("INFO", "replication").components(separatedBy: "state=online").count
        == 3
    }
    for number in sentinelPorts.indices { try startSentinel(number, monitoring: port, quorum: 2) }
    await eventually(within: .seconds(30), "the Sentinels know replicas and each other") {
      for port in sentinelPorts {
        let state = try await self.ask(port, "MASTER", "main")
        guard state["num-slaves"] == "2", state["num-other-sentinels"] == "2",
          state["flags"] == "master"
        else { return false }
      }
      return true
    }
  }

  /// Three ports that were free a moment ago.
  public static func freePorts() throws -> [Int] { try (0..<3).map { _ in try freePort() } }

  /// Starts a Sentinel that takes the server at `port` for the primary.
  public func startSentinel(
    _ number: Int, monitoring port: Int, quorum: Int, on own: Int? = nil
  ) throws {
    let file = "\(folder.path)/sentinel-\(number).conf"
    let text = """
      port \(own ?? sentinelPorts[number])
      bind 127.0.0.1
      dir \(folder.path)
      logfile \(folder.path)/sentinel-\(number).log
      sentinel monitor main 127.0.0.1 \(port) \(quorum)
      sentinel down-after-milliseconds main 1000
      sentinel failover-timeout main 5000

      """
    try Data(text.utf8).write(to: URL(filePath: file))
    let process = try BoundProcess(
      ["redis-server", file, "--sentinel"], output: "\(folder.path)/sentinel-\(number).out")
    sentinels.withLock { $0.append(process) }
  }

  /// Kills a Sentinel, by its place in the order of their starts.
  public func killSentinel(_ number: Int) { sentinels.withLock { $0[number] }.kill() }

  /// `SENTINEL FAILOVER`: a failover while everybody is well.
  public func failOver() async throws {
    _ = try await sentinel(sentinelPorts[0], "SENTINEL", "FAILOVER", "main")
  }

  /// The server that is primary after `old`. That one may live and take writes for ten seconds more: with `alone` it is
  /// dead or has become a replica.
  public func newPrimary(
    after old: Int, alone: Bool = true, within limit: Duration = .seconds(30)
  ) async -> Int? {
    var found: Int?
    await eventually(within: limit, "another primary") {
      var primaries: [Int] = []
      for number in self.servers.indices {
        let role = try? await self.servers[number].cli("ROLE")
        if role?.hasPrefix("master") == true { primaries.append(number) }
      }
      if !alone { primaries.removeAll { $0 == old } }
      found = primaries.first
      return primaries.count == 1 && found != old
    }
    return found
  }

  /// The reply of `SENTINEL …` by its fields.
  private func ask(_ port: Int, _ words: String...) async throws -> [String: String] {
    let lines = try await command(port, ["SENTINEL"] + words).components(separatedBy: "\n")
    return stride(from: 0, to: lines.count - 1, by: 2).reduce(into: [:]) {
      $0[lines[$1]] = lines[$1 + 1]
    }
  }

  /// Runs a command on a Sentinel.
  public func sentinel(_ port: Int, _ words: String...) async throws -> String {
    try await command(port, words)
  }

  private func command(_ port: Int, _ words: [String]) async throws -> String {
    try await ChildProcess.run(["redis-cli", "-p", "\(port)"] + words, in: folder.path)
  }
}
