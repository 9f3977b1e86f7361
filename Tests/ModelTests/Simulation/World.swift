import Redis

/// The fixed parts of every simulated history. Batches differ in what the protocol decides by: account, items, priority.
enum World {
  static let stages = ["setup", "extraction", "validation"]
  static let counted = "extraction"
  /// Milliseconds; the daemon's own defaults.
  static let lease = 15_000
  static let quiet = 12_000
  static let maxCrashes = 2
  static let gateInterval = 1_000
  static let gateMargin = 15
  /// Far in the future, so that Redis's own clock ends nothing.
  static let start = 4_000_000_000_000

  /// b1 to b3 share one lane, b4 has its own.
  static func account(of batch: Int) -> String {
    batch <= 3 ? "A" : batch == 4 ? "B" : ""
  }

  static func items(of batch: Int) -> Int { [2, 0, 1, 2, 1, 0, 0, 0, 0][batch - 1] }

  /// Those that a seed deals with: to b6 to b9 nothing happens but their stages (plain.lua).
  static func batches(seed: UInt64) -> ClosedRange<Int> { seed % 2 == 0 ? 1...6 : 4...9 }

  /// What a client pushes: opaque to the functions, so a short text instead of JSON.
  struct Entry {
    let raw: String
    let batch: Int
    let isRerun: Bool
    let isDelayed: Bool

    init(batch: Int, rerun: Bool, delayed: Bool, serial: Int) {
      self.init("\(batch)/\(rerun ? 1 : 0)/\(delayed ? 1 : 0)/\(serial)")
    }

    init(_ raw: String) {
      let parts = raw.split(separator: "/").map { Int($0) ?? 0 }
      self.raw = raw
      batch = parts[0]
      isRerun = parts[1] == 1
      isDelayed = parts[2] == 1
    }

    var id: String { "b\(batch)" }

    /// RAW VERDICT … of batchd_admit.
    var arguments: [RedisArgument] {
      [
        .text(raw), "admit", .text(id), "op", "w", .text(World.account(of: batch)),
        batch == 3 ? "high" : "", isDelayed ? "+600000" : "", "", isRerun ? "1" : "",
        .integer(World.items(of: batch)),
      ]
    }
  }
}

/// A worker process and its memory. Its name outlives it.
struct SimulatedWorker {
  let name: String
  var isAlive = false
  /// SIGSTOP.
  var isFrozen = false
  /// The epoch it adopted last, 0 for none, and the one in which it registered last.
  var epoch = 0
  var registered = 0
  /// A connection is usable once it was adopted.
  var isConnected = false
  /// Redis's clock and the true time at its last look, and when it adopted its epoch.
  var clock: (redis: Int, monotonic: Int)?
  var adopted = (redis: 0, monotonic: 0)
  var boots = 0
  var tokens: [String: Token] = [:]
  /// The call whose reply it did not get: it does nothing else before that is answered.
  var pending: Request?
  /// Permissions that are still to be confirmed, by account.
  var reservations: [String: (at: Int, generation: Int)] = [:]

  var boot: String { "\(name)-\(boots)" }
  var isFree: Bool { isAlive && !isFrozen && pending == nil }

  /// A process has nothing but its name and the number of its lives.
  mutating func die() {
    let boots = boots
    self = SimulatedWorker(name: name)
    self.boots = boots
  }

  /// Redis's clock as its monotonic one carries it on.
  func expectedNow(at moment: Int) -> Int? { clock.map { $0.redis + moment - $0.monotonic } }

  /// What each of its calls carries.
  func stamp(at moment: Int) -> RedisArgument {
    .text("\(epoch)" + (expectedNow(at: moment).map { " \($0)" } ?? ""))
  }
}
