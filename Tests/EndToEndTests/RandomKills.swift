import Glibc
import Synchronization
import TestSupport
import Testing

/// The workers, killed in an order and at times that the seed decides.
final class RandomKills: Sendable {
  private let start: @Sendable (String) throws -> Program
  private let workerCount: Int
  private let workers: Mutex<[Program]>
  private let seed: UInt64

  /// - Parameter start: starts the worker of an instance name.
  init(
    workerCount: Int, seed: UInt64, start: @escaping @Sendable (String) throws -> Program
  ) {
    self.start = start
    self.workerCount = workerCount
    self.seed = seed
    workers = Mutex([])
  }

  /// Kills and restarts until it is cancelled.
  /// - Returns: how often it killed.
  func run() async throws -> Int {
    var random = SplitMix(state: seed)
    for index in 0..<workerCount {
      let worker = try start("\(index + 1)")
      workers.withLock { $0.append(worker) }
    }
    var kills = 0
    while true {
      do {
        try await Task.sleep(for: .milliseconds(Int.random(in: 200...1_500, using: &random)))
      } catch {
        return kills
      }
      try await revive()
      let index = Int.random(in: 0..<workerCount, using: &random)
      await workers.withLock { $0[index] }.killNow()
      kills += 1
      // Mostly at once, as systemd would; sometimes so late that others take the work over.
      let pause = Bool.random(using: &random) ? 0 : Int.random(in: 0...4_000, using: &random)
      try? await Task.sleep(for: .milliseconds(pause))
      let worker = try start("\(index + 1)")
      workers.withLock { $0[index] = worker }
    }
  }

  /// Ends all of them in order.
  func stop() async throws {
    try await revive()
    let workers = workers.withLock { $0 }
    for worker in workers {
      // Before that a signal ends the process in its own way.
      await eventually("it runs") { worker.output.contains("worker started") }
      worker.send(SIGTERM)
    }
    for worker in workers {
      #expect(await worker.exitStatus(within: .seconds(10)) == 0, "\(worker.output)")
    }
  }

  /// Starts those again, as systemd would, that could not begin while the store was away.
  private func revive() async throws {
    for index in 0..<workerCount {
      let ended = workers.withLock { $0[index] }
      guard !ended.isRunning else { continue }
      #expect(await ended.exitStatus() == 69, "\(ended.output)")
      let worker = try start("\(index + 1)")
      workers.withLock { $0[index] = worker }
    }
  }
}

/// Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014.
private struct SplitMix: RandomNumberGenerator {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var z = state
    z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
    return z ^ (z >> 31)
  }
}
