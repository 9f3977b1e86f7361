import Pipeline
import Redis

/// One history on a real Redis: carries out moves, knows what each answer promised, and looks at everything after each.
struct Simulation {
  let connection: RedisConnection
  var workers: [SimulatedWorker]
  var ledger = Ledger()
  /// Redis's clock and the true time, in milliseconds.
  var now = World.start
  var monotonic = 0
  var picture = Picture(.null, after: nil)
  /// Every token that was ever given, for zombies.
  var tokens: [Token] = []
  var backups: [(timeline: Ledger.Timeline, epoch: Int)] = []
  var isPictureFresh = false
  /// The worker that takes its own leases back in this step.
  var recovering: String?
  private var serial = 0
  /// What came of each move.
  var trace: [String] = []
  var steps = 0

  /// Redis keeps this many backups, in its databases 1 and up.
  static let backupsKept = 8

  /// From an empty Redis that holds the library; all workers are started.
  init(workers count: Int, on connection: RedisConnection) async throws {
    self.connection = connection
    workers = (1...count).map { SimulatedWorker(name: "w\($0)") }
    _ = try await connection.call(["FLUSHALL"])
    for worker in workers.indices { try await start(worker) }
    try await look()
  }

  /// Carries out a move, and checks all there is to check.
  mutating func perform(_ move: Move) async throws {
    steps += 1
    let before = picture
    recovering = nil
    do {
      let outcome = try await carryOut(move)
      trace.append(outcome.map { "\(move): \($0)" } ?? "\(move)")
      try await look()
      if case .rollback = move.deed {} else { try checkStep(from: before) }
      try picture.check(ledger)
    } catch let violation as Violation {
      trace.append("\(move)")
      throw violation
    }
  }

  /// Sees what Redis holds now.
  mutating func look() async throws {
    if isPictureFresh { return }
    let reply = try await connection.call(["EVAL", .text(Picture.script), 0])
    isPictureFresh = true
    picture = Picture(reply, after: picture)
  }

  /// Fences are greater than all before, and nobody is charged with a crash who prolonged the lease in time.
  private mutating func checkStep(from before: Picture) throws {
    let leased = picture.batches.values.filter { $0.place == "leases" && $0.fence != nil }
    for batch in leased.sorted(by: { $0.fence! < $1.fence! }) {
      let fence = batch.fence!
      let old = before.batches[batch.id]
      guard old?.fence != fence || old?.run != batch.run else { continue }
      guard fence > ledger.highestFence else {
        throw Violation("\(batch.id) has fence \(fence) after \(ledger.highestFence)")
      }
      ledger.highestFence = fence
      ledger.prolonged[fence] = monotonic
    }
    for batch in picture.batches.values {
      guard let old = before.batches[batch.id], old.run == batch.run, old.crashes < batch.crashes,
        let fence = old.fence
      else { continue }
      ledger.count(batch.status == "failed" ? .poison : .chargedCrash)
      let age = monotonic - (ledger.prolonged[fence] ?? 0)
      guard age >= World.lease || recovering == old.worker else {
        throw Violation(
          "\(batch.id) is charged with a crash, its lease was prolonged \(age) ms ago")
      }
    }
  }

  mutating func nextSerial() -> Int {
    serial += 1
    return serial
  }
}
