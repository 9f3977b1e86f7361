import Redis

/// A whole simulated history: what was done, and what did not hold.
struct History {
  private(set) var moves: [Move] = []
  /// Each move with its answer.
  private(set) var trace: [String] = []
  /// Nil when everything held.
  private(set) var violation: String?
  private(set) var steps = 0
  private(set) var seen: [Event: Int] = [:]
  let workers: Int

  /// How many moves are made before the fair end.
  static let length = 40

  /// The history of a seed.
  init(seed: UInt64, on connection: RedisConnection) async throws {
    var random = SeededGenerator(seed: seed)
    workers = Int.random(in: 2...4, using: &random)
    var simulation = try await Simulation(workers: workers, on: connection)
    var made: [Move] = []
    await run(&simulation) { simulation in
      for _ in 0..<Self.length {
        let move = simulation.choose(among: World.batches(seed: seed), using: &random)
        made.append(move)
        try await simulation.perform(move)
      }
    }
    moves = made
  }

  /// The history that makes these moves, whatever they lead to.
  init(moves: [Move], workers: Int, on connection: RedisConnection) async throws {
    self.workers = workers
    self.moves = moves
    var simulation = try await Simulation(workers: workers, on: connection)
    await run(&simulation) { simulation in
      for move in moves { try await simulation.perform(move) }
    }
  }

  private mutating func run(
    _ simulation: inout Simulation, _ body: (inout Simulation) async throws -> Void
  ) async {
    do {
      try await body(&simulation)
      try await simulation.drain()
    } catch let problem as Violation {
      violation = problem.text
    } catch {
      violation = "\(error)"
    }
    trace = simulation.trace
    steps = simulation.steps
    seen = simulation.ledger.seen
  }

  /// The shortest list of moves that still fails, by delta debugging: leaves out ever smaller parts as long as
  /// something fails without them.
  func shrunk(on connection: RedisConnection) async throws -> History {
    var shortest = self
    var size = max(moves.count / 2, 1)
    while true {
      var at = 0
      var isShorter = false
      while at < shortest.moves.count {
        var fewer = shortest.moves
        fewer.removeSubrange(at..<min(at + size, fewer.count))
        let history = try await History(moves: fewer, workers: workers, on: connection)
        if history.violation != nil {
          shortest = history
          isShorter = true
        } else {
          at += size
        }
      }
      if size == 1 && !isShorter { return shortest }
      size = max(size / 2, 1)
    }
  }

  /// For people: the steps, one a line, and what went wrong.
  var story: String {
    "\(violation ?? "nothing is wrong"), after:\n  " + trace.joined(separator: "\n  ")
  }
}
