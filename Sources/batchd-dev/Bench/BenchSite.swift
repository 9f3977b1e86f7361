internal import Foundation
internal import Glibc
internal import Logging
internal import Pipeline
internal import Queue
internal import Redis

/// A private Redis on loopback with a connection of ours, and a folder for everything that runs beside it.
struct BenchSite {
  static let prefix = "batchd"
  static let pipeline = "bench"

  let folder: String
  let url: String
  let redis: BenchProcess
  let connection: RedisConnection
  let keys = Keys(prefix: Self.prefix)

  /// Starts a Redis, runs `body` and removes all of it.
  /// - Parameter appendOnly: with its append-only file, synced every second.
  static func run<T>(
    appendOnly: Bool, _ body: (BenchSite) async throws -> T
  ) async throws -> T {
    try await withFolder { folder in
      let port = try freePort()
      let redis = try BenchProcess(
        [
          "redis-server", "--port", "\(port)", "--bind", "127.0.0.1", "--dir", folder, "--save", "",
          "--appendonly", appendOnly ? "yes" : "no", "--appendfsync", "everysec",
        ] + (redisIsAlone ? ["--server_cpulist", "0"] : []), output: "\(folder)/redis.log")
      let url = "redis://127.0.0.1:\(port)"
      let site = BenchSite(
        folder: folder, url: url, redis: redis, connection: try await connect(url, to: redis))
      do {
        let result = try await body(site)
        try await redis.stop(SIGKILL)
        return result
      } catch {
        try? await redis.stop(SIGKILL)
        throw error
      }
    }
  }

  /// Runs `body` with an empty folder, and removes it.
  static func withFolder<T>(_ body: (String) async throws -> T) async throws -> T {
    let folder = NSTemporaryDirectory() + "batchd-bench-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    return try await body(folder)
  }

  /// Whether this process, and so its workers, must stay off the first processor (`taskset`): then it is Redis's.
  static let redisIsAlone =
    BenchProcess.status("Cpus_allowed_list:", of: getpid())?.hasPrefix("0") == false

  private init(folder: String, url: String, redis: BenchProcess, connection: RedisConnection) {
    self.folder = folder
    self.url = url
    self.redis = redis
    self.connection = connection
  }

  /// A connection to a Redis that was started a moment ago.
  static func connect(_ url: String, to redis: BenchProcess) async throws -> RedisConnection {
    let client = try client(url)
    for _ in 0..<200 where redis.isRunning {
      if let connection = try? await client.connect() { return connection }
      try await Task.sleep(for: .milliseconds(25))
    }
    throw BenchError("redis-server does not start; it said: \(redis.lines.suffix(3))")
  }

  static func client(_ url: String) throws -> RedisClient {
    var logger = Logger(label: "bench")
    logger.logLevel = .error
    var configuration = try RedisConfiguration(url: url)
    configuration.callTimeoutMilliseconds = 60_000
    return RedisClient(configuration, logger: logger)
  }

  /// A port of loopback that nobody listens on.
  static func freePort() throws -> Int {
    let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    defer { close(listener) }
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = inet_addr("127.0.0.1")
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    let bound = withUnsafeMutablePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        bind(listener, $0, length) == 0 && getsockname(listener, $0, &length) == 0
      }
    }
    guard bound else { throw BenchError("no free port on 127.0.0.1") }
    return Int(in_port_t(bigEndian: address.sin_port))
  }

  /// Starts a worker process of its own (`bench-worker`).
  func worker(_ name: String, _ options: [String]) throws -> BenchProcess {
    try Self.worker(name, on: url, folder: folder, options)
  }

  static func worker(
    _ name: String, on url: String, folder: String, _ options: [String]
  ) throws -> BenchProcess {
    let own = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
    return try BenchProcess(
      [own, "bench-worker", "--redis", url, "--store", "\(folder)/bench.sqlite", "--name", name]
        + options, output: "\(folder)/\(name)-\(UUID().uuidString).log")
  }
}

/// Why a measurement could not be made.
struct BenchError: Error, CustomStringConvertible {
  let description: String
  init(_ description: String) { self.description = description }
}
