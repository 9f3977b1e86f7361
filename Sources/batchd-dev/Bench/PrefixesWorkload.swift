internal import Foundation
internal import Glibc
internal import Queue
internal import Redis

/// One worker on a Redis Cluster of three primaries, its batches spread over one, two and three of them.
///
/// Each primary runs a tenth of the time only: otherwise three of them, the worker and this program would share two
/// processors, and the processors be what is measured.
enum PrefixesWorkload {
  private static let running = Duration.milliseconds(2)
  private static let period = Duration.milliseconds(20)

  static func run(_ settings: BenchSettings) async throws -> [Figure] {
    var rates: [Double] = []
    for count in 1...3 { rates.append(try await rate(primaries: count, settings)) }
    return rates.enumerated().map { at, rate in
      Figure("prefixes", "batches/s, \(at + 1) of 3 primaries", rate, "/s")
    }
      + [2, 3].map { count in
        Figure(
          "prefixes", "\(count) primaries in place of one", rates[count - 1] / rates[0], "×",
          .atLeast(0.85 * Double(count)))
      }
  }

  /// A primary, and the prefix whose keys it has.
  private struct Primary {
    let redis: BenchProcess
    let port: Int
    let connection: RedisConnection
    var prefix = ""
    var keys: Keys { Keys(prefix: prefix) }
  }

  /// Batches lie in `enqueue` before the worker starts; the clock starts with the first admission.
  private static func rate(primaries count: Int, _ settings: BenchSettings) async throws -> Double {
    try await BenchSite.withFolder { folder in
      let cluster = try await start(folder, appendOnly: settings.appendOnly)
      let used = Array(cluster[..<count])
      let load = BenchSite.Load(count: settings.scaled(30_000) / count)
      for primary in used { try await enqueue(load, primary) }
      let pids = cluster.map(\.redis.pid)
      let throttle = Thread { hold(pids) }
      throttle.start()
      let worker = try BenchSite.worker(
        "w1", on: "redis+cluster://127.0.0.1:\(cluster[0].port)", folder: folder,
        ["--prefixes", used.map(\.prefix).joined(separator: ",")])
      try await BenchSite.until("the worker admits", worker) {
        try await progress("total", load, used[0]) > 0
      }
      let began = ContinuousClock.now
      try await BenchSite.until("all batches have ended", worker) {
        for primary in used where try await progress("completed", load, primary) < load.count {
          return false
        }
        return true
      }
      let seconds = (ContinuousClock.now - began) / .seconds(1)
      throttle.cancel()
      try await worker.stop(SIGKILL)
      for primary in cluster { try await primary.redis.stop(SIGKILL) }
      return Double(load.count * count) / seconds
    }
  }

  /// Lets each process run for `running` of every `period`, one after the other, until the thread is cancelled.
  private static func hold(_ pids: [pid_t]) {
    while !Thread.current.isCancelled {
      for pid in pids {
        kill(pid, SIGCONT)
        usleep(UInt32(running / .microseconds(1)))
        kill(pid, SIGSTOP)
      }
      usleep(UInt32((period - running * pids.count) / .microseconds(1)))
    }
    for pid in pids { kill(pid, SIGCONT) }
  }

  private static func start(_ folder: String, appendOnly: Bool) async throws -> [Primary] {
    var primaries: [Primary] = []
    for _ in 0..<3 {
      let port = try BenchSite.freePort()
      let own = "\(folder)/\(port)"
      try FileManager.default.createDirectory(atPath: own, withIntermediateDirectories: true)
      let redis = try BenchProcess(
        [
          "redis-server", "--port", "\(port)", "--bind", "127.0.0.1", "--dir", own, "--save", "",
          "--appendonly", appendOnly ? "yes" : "no", "--cluster-enabled", "yes",
          "--cluster-port", "\(try BenchSite.freePort())",
        ], output: "\(own)/redis.log")
      primaries.append(
        Primary(
          redis: redis, port: port,
          connection: try await BenchSite.connect("redis://127.0.0.1:\(port)", to: redis)))
    }
    let joining = try BenchProcess(
      ["redis-cli", "--cluster", "create"] + primaries.map { "127.0.0.1:\($0.port)" }
        + ["--cluster-yes"], output: "\(folder)/create.log")
    for at in primaries.indices {
      try await BenchSite.until("the cluster serves", primaries[at].redis) {
        let state = try await primaries[at].connection.call(["CLUSTER", "INFO"])
        return state.text?.contains("cluster_state:ok") == true
          && state.text?.contains("cluster_known_nodes:3") == true
      }
      primaries[at].prefix = try await prefix(servedBy: primaries[at].connection)
    }
    try await joining.stop()
    return primaries
  }

  /// A prefix whose keys this primary has.
  private static func prefix(servedBy connection: RedisConnection) async throws -> String {
    let nodes = try await connection.call(["CLUSTER", "NODES"]).text ?? ""
    let own = nodes.split(separator: "\n").first { $0.contains("myself") }
    let bounds = (own?.split(separator: " ").last ?? "").split(separator: "-").compactMap {
      Int($0)
    }
    guard bounds.count == 2 else { throw BenchError("a primary without slots: \(nodes)") }
    for number in 0..<1_000 {
      let prefix = "{bench-\(number)}"
      let slot = try await connection.call(["CLUSTER", "KEYSLOT", .text(prefix)]).integer ?? 0
      if (bounds[0]...bounds[1]).contains(slot) { return prefix }
    }
    throw BenchError("no prefix for the slots \(bounds)")
  }

  private static func enqueue(_ load: BenchSite.Load, _ primary: Primary) async throws {
    for start in stride(from: 0, to: load.count, by: 500) {
      let entries = (start..<min(start + 500, load.count)).map {
        RedisArgument.text(load.envelope($0))
      }
      _ = try await primary.connection.call(["LPUSH", .text(primary.keys.enqueue)] + entries)
    }
  }

  private static func progress(
    _ field: String, _ load: BenchSite.Load, _ primary: Primary
  ) async throws -> Int {
    try await primary.connection.call([
      "HGET", .text(primary.keys.progress(load.operation)), .text(field),
    ]).integer ?? 0
  }
}
