/// Which move comes next: by seed, and by what the state makes interesting.
extension Simulation {
  func choose(among batches: ClosedRange<Int>, using random: inout SeededGenerator) -> Move {
    var moves: [(weight: Int, deed: Move.Deed)] = []
    clients(batches, &moves, &random)
    processes(&moves, &random)
    surroundings(&moves, &random)
    for at in workers.indices where workers[at].isFree { calls(of: at, &moves, &random) }
    var at = Int.random(in: 0..<moves.reduce(0) { $0 + $1.weight }, using: &random)
    for move in moves {
      at -= move.weight
      if at < 0 {
        return Move(move.deed, isReplyLost: Int.random(in: 0..<8, using: &random) == 0)
      }
    }
    return Move(.backup)
  }

  private func clients(
    _ batches: ClosedRange<Int>, _ moves: inout [(weight: Int, deed: Move.Deed)],
    _ random: inout SeededGenerator
  ) {
    let batch = Int.random(in: batches, using: &random)
    let delayed = Int.random(in: 0..<8, using: &random) == 0
    let isKnown = picture.batches["b\(batch)"] != nil
    moves.append((isKnown ? 4 : 16, .enqueue(batch: batch, rerun: isKnown, delayed: delayed)))
    moves.append((4, .cancel(batch)))
    moves.append((1, .cancelAll))
    moves.append((6, .retry(batch, fromFirst: Bool.random(using: &random))))
    let whats = ["all", "account:A", "stage:w:extraction", "pipeline:w", "stage:w:setup"]
    moves.append((3, .pause(whats.randomElement(using: &random) ?? "all")))
    for what in picture.members("paused") { moves.append((8, .resume(String(what)))) }
  }

  private func processes(
    _ moves: inout [(weight: Int, deed: Move.Deed)], _ random: inout SeededGenerator
  ) {
    for (at, worker) in workers.enumerated() {
      if worker.isAlive {
        // A batch that ended its worker before does so again.
        let runsSuspect = worker.tokens.keys.contains { picture.batches[$0]?.crashes ?? 0 > 0 }
        moves.append((runsSuspect ? 16 : 2, .crash(at)))
        moves.append((worker.isFrozen ? 4 : 1, worker.isFrozen ? .thaw(at) : .freeze(at)))
        if worker.pending != nil && !worker.isFrozen { moves.append((12, .again(at))) }
        if worker.isFree { moves.append((1, .leave(at))) }
      } else {
        moves.append((8, .start(at)))
      }
      let stage = Int.random(in: 0..<World.stages.count, using: &random)
      if !picture.members("queue:w:\(World.stages[stage])").isEmpty {
        moves.append((2, .fetch(at, stage: stage)))
      }
    }
  }

  private func surroundings(
    _ moves: inout [(weight: Int, deed: Move.Deed)], _ random: inout SeededGenerator
  ) {
    let short: Double = [0.3, 1, 1.1, 2.5, 5].randomElement(using: &random) ?? 1
    moves.append((8, .pass(seconds: short, silent: Bool.random(using: &random))))
    let long: Double = [16, 31, 31, 130, 700, 3_700, 100_000].randomElement(using: &random) ?? 16
    moves.append((8, .pass(seconds: long, silent: Int.random(in: 0..<4, using: &random) == 0)))
    moves.append((2, .step(hours: Bool.random(using: &random) ? 1 : -1)))
    moves.append((3, .backup))
    if !backups.isEmpty {
      let back = Int.random(in: 0..<min(backups.count, 4), using: &random)
      moves.append((3, .rollback(back, restarted: Int.random(in: 0..<3, using: &random) > 0)))
    }
    if !tokens.isEmpty {
      let token = Int.random(in: 0..<tokens.count, using: &random)
      moves.append((6, .zombie(token: token, act(&random))))
    }
  }

  private func calls(
    of at: Int, _ moves: inout [(weight: Int, deed: Move.Deed)], _ random: inout SeededGenerator
  ) {
    if !ledger.timeline.entries.isEmpty { moves.append((10, .admit(at))) }
    moves.append((3, .beat(at)))
    moves.append((5, .tick(at)))
    if !picture.members("ended").isEmpty {
      moves.append((4, .outbox(at, dies: Int.random(in: 0..<6, using: &random) == 0)))
    }
    for (stage, name) in World.stages.enumerated() {
      let most = Int.random(in: 1...3, using: &random)
      if !picture.members("suspects:w:\(name)").isEmpty {
        moves.append((8, .claim(at, stage: stage, suspects: true, most: 1)))
      }
      let intake = picture.members("intake:\(workers[at].name):w:\(name)")
      if !intake.isEmpty || !picture.members("queue:w:\(name)").isEmpty {
        moves.append((10, .claim(at, stage: stage, suspects: false, most: most)))
      }
    }
    for batch in workers[at].tokens.keys.sorted() {
      moves.append((20, .act(at, batch: batch, act(&random, batch))))
      if picture.batches[batch]?.account.isEmpty == false {
        moves.append((20, .gate(at, batch: batch)))
      }
    }
  }

  private func act(_ random: inout SeededGenerator, _ batch: String = "b1") -> Move.Act {
    let items = batch.hasPrefix("c") ? 0 : World.items(of: Int(batch.dropFirst()) ?? 2)
    switch Int.random(in: 0..<12, using: &random) {
    case 0..<5 where items > 0:
      return .checkpoint(
        item: Int.random(in: 0..<items, using: &random),
        failed: Int.random(in: 0..<3, using: &random) == 0,
        child: !batch.hasPrefix("c") && Int.random(in: 0..<6, using: &random) == 0)
    case 0..<8: return .finish(goesOn: Bool.random(using: &random))
    case 8, 9: return .fail(forGood: Int.random(in: 0..<3, using: &random) == 0)
    case 10: return .snooze
    default: return Bool.random(using: &random) ? .handBack : .renew
    }
  }
}
