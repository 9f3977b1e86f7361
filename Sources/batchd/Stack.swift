internal import Foundation
internal import Queue
internal import Redis

/// Everything on one machine, in one folder: a Redis, workers, and the Workiz simulator when asked for.
struct Stack: Sendable {
  let folder: String
  let configuration: Configuration
  let redis: ChildProcess
  let simulator: ChildProcess?
  let workers: [ChildProcess]

  var socket: String { "\(folder)/redis.sock" }

  /// Writes the folder's configuration and tokens; starts nothing.
  /// - Parameter simulation: arguments of the simulator, nil without one.
  init(
    folder: String, base: Configuration, workers count: Int, simulation: Simulation?
  ) throws {
    do {
      try FileManager.default.createDirectory(
        atPath: folder, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
    } catch {
      throw UpError(
        description: "cannot make the folder \(folder); name another by --dir (mkdir -p says why)")
    }
    self.folder = folder
    var configuration = base
    configuration.redis = .init()
    configuration.redis.url = "unix://\(folder)/redis.sock"
    configuration.store = .init(path: "\(folder)/batchd.sqlite")
    if let simulation { try simulation.apply(to: &configuration, folder: folder) }
    self.configuration = configuration
    let file = "\(folder)/config.toml"
    try configuration.text.write(toFile: file, atomically: true, encoding: .utf8)
    redis = ChildProcess(
      "redis-server", log: "\(folder)/redis.log",
      command: [
        "redis-server", "--port", "0", "--unixsocket", "\(folder)/redis.sock", "--dir", folder,
        "--appendonly", "yes", "--save", "",
      ])
    simulator = simulation.map { $0.process(folder: folder) }
    workers = (1...count).map { instance in
      ChildProcess(
        "worker \(instance)", log: "\(folder)/worker-\(instance).log",
        command: [Programs.batchd, "work", "--config", file, "--instance", "\(instance)"])
    }
  }

  /// Starts everything, runs `body`, and stops everything in order: the workers first, which hand back what they have.
  /// - Throws: `UpError`, before anything is started, when a Redis runs in the folder already.
  func run(_ body: @escaping @Sendable () async throws -> Void) async throws {
    // Two of them on one append-only file would ruin it, and the second would take the first one's socket.
    if let pid = SocketOwner.pid(of: socket) {
      throw UpError(
        description:
          "a Redis runs in \(folder) already, with pid \(pid): another batchd up uses the folder, or was killed there; name another --dir, or stop that one (kill \(pid))"
      )
    }
    try await redis.during {
      try await until("redis-server answers") { FileManager.default.fileExists(atPath: socket) }
      guard let simulator else { return try await runWorkers(body) }
      try await simulator.during { try await runWorkers(body) }
    }
  }

  private func runWorkers(_ body: @escaping @Sendable () async throws -> Void) async throws {
    try await withThrowingTaskGroup(of: Void.self) { group in
      for worker in workers { group.addTask { try await supervise(worker) } }
      group.addTask { try await body() }
      // The workers end only by an error.
      try await group.next()
      group.cancelAll()
    }
  }

  /// What systemd's Restart=always does.
  private func supervise(_ worker: ChildProcess) async throws {
    var failures = 0
    while !Task.isCancelled {
      failures = try await worker.run() ? failures + 1 : 0
      if Task.isCancelled { return }
      if failures == 3 { throw UpError.ended(worker) }
      try await Task.sleep(for: .milliseconds(200))
    }
  }
}

/// Waits for something that a child brings about.
func until(
  _ what: String, within limit: Duration = .seconds(20), _ holds: () async throws -> Bool
) async throws {
  let deadline = ContinuousClock.now + limit
  while try await !holds() {
    guard ContinuousClock.now < deadline else {
      throw UpError(description: "not within \(limit): \(what); the logs in its folder say why")
    }
    try await Task.sleep(for: .milliseconds(50))
  }
}

/// The executables of this build.
enum Programs {
  static let batchd =
    (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? "batchd"

  /// The development tools beside it.
  /// - Throws: `UpError` when they were not built.
  static func development() throws -> String {
    let path = URL(fileURLWithPath: batchd).deletingLastPathComponent()
      .appendingPathComponent("batchd-dev").path
    guard FileManager.default.isExecutableFile(atPath: path) else {
      throw UpError(
        description: "the simulator is not beside \(batchd): swift build --product batchd-dev")
    }
    return path
  }
}
