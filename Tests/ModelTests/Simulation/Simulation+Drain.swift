import Redis

/// The fair end of every history: from wherever it came, all batches end by what workers do anyway.
extension Simulation {
  /// - Throws: `Violation` when something is left after half a day.
  mutating func drain() async throws {
    trace.append("from here on everything is fair")
    try await look()
    for what in picture.members("paused") { try await perform(Move(.resume(String(what)))) }
    for at in workers.indices {
      try await perform(Move(.thaw(at)))
      try await perform(Move(.start(at)))
      try await perform(Move(.again(at)))
    }
    for round in 0..<40 {
      try await serve(by: round % workers.count)
      try picture.check(ledger)
      if isDone { return }
      try await pass(round < 3 ? 70_000 : 1_200_000, silent: false)
      try await look()
    }
    let left = picture.batches.values.filter(\.isLiving).map { "\($0.id) in \($0.place)" }
    throw Violation(
      "never ended: \(left.sorted()), entries \(ledger.timeline.entries.sorted()), outbox \(picture.text("ended"))"
    )
  }

  private var isDone: Bool {
    ledger.timeline.entries.isEmpty && picture.members("ended").isEmpty
      && !picture.batches.values.contains(where: \.isLiving)
  }

  /// Everything that one worker has to do at this moment.
  private mutating func serve(by at: Int) async throws {
    for other in workers.indices { _ = try await carryOut(Move(.beat(other))) }
    _ = try await carryOut(Move(.admit(at)))
    for stage in World.stages.indices {
      let list = "w:\(World.stages[stage])"
      if !picture.members("suspects:\(list)").isEmpty {
        _ = try await carryOut(Move(.claim(at, stage: stage, suspects: true, most: 1)))
      }
      let waiting =
        picture.members("queue:\(list)") + picture.members("intake:\(workers[at].name):\(list)")
      if !waiting.isEmpty {
        _ = try await carryOut(Move(.claim(at, stage: stage, suspects: false, most: 10)))
      }
      for batch in workers[at].tokens.keys.sorted() {
        try await finish(batch, by: at, goesOn: false)
      }
    }
    for other in workers.indices {
      for batch in workers[other].tokens.keys.sorted() {
        try await finish(batch, by: other, goesOn: true)
      }
    }
    // Last, for its patrol looks at everything: from then on no batch goes the short way (plain.lua).
    _ = try await carryOut(Move(.tick(at)))
    _ = try await carryOut(Move(.outbox(at, dies: false)))
    try await look()
  }

  /// The last word of a batch is said twice, as if its reply had been lost. Not those before: whoever repeats one has
  /// left the short way (plain.lua).
  private mutating func finish(_ batch: String, by at: Int, goesOn: Bool) async throws {
    guard let token = workers[at].tokens[batch] else { return }
    let act = Move.Act.finish(goesOn: goesOn)
    if try await carryOut(Move(.act(at, batch: batch, act))) == "ended" {
      _ = try await send(.act(token, act), by: at, lost: false, isZombie: true)
    }
  }
}
