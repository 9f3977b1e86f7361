import Pipeline
import Redis

/// Carrying out one move.
extension Simulation {
  /// Returns what was answered; nil when the state does not allow the move, or nothing answers it.
  mutating func carryOut(_ move: Move) async throws -> String? {
    switch move.deed {
    case .enqueue(let batch, let rerun, let delayed):
      let raw = World.Entry(batch: batch, rerun: rerun, delayed: delayed, serial: nextSerial()).raw
      _ = try await command(["LPUSH", "s:enqueue", .text(raw)])
      ledger.timeline.entries.insert(raw)
    case .fetch(let worker, let stage):
      let list = "w:\(World.stages[stage])"
      let moved = try await command([
        "LMOVE", .text("s:queue:\(list)"), .text("s:intake:w\(worker + 1):\(list)"), "RIGHT",
        "LEFT",
      ])
      return moved.text
    case .cancel, .cancelAll, .retry, .pause, .resume: return try await people(move.deed)
    case .pass(let seconds, let silent): try await pass(Int(seconds * 1000), silent: silent)
    case .step(let hours):
      ledger.count(.clockStep)
      now += hours * 3_600_000
      try await expire()
    case .backup: try await backUp()
    case .rollback(let back, let restarted): try await rollBack(back, restarted: restarted)
    case .zombie(let token, let act): return try await zombie(token, act)
    default: return try await work(move)
    }
    return nil
  }

  /// What a worker does, if it is able to.
  private mutating func work(_ move: Move) async throws -> String? {
    let lost = move.isReplyLost
    switch move.deed {
    case .crash(let at) where workers[at].isAlive:
      ledger.count(.kill)
      workers[at].die()
    case .start(let at) where !workers[at].isAlive: try await start(at)
    case .freeze(let at) where workers[at].isAlive:
      ledger.count(.freeze)
      workers[at].isFrozen = true
    case .thaw(let at): workers[at].isFrozen = false
    case .again(let at):
      guard workers[at].isAlive, !workers[at].isFrozen, let pending = workers[at].pending else {
        return nil
      }
      return try await send(pending, by: at, lost: lost)
    case .admit(let at) where workers[at].isFree:
      let raws = try await send(.intake, by: at, lost: false)
      guard !raws.isEmpty else { return nil }
      return try await send(.admit(raws.split(separator: " ").map(String.init)), by: at, lost: lost)
    case .claim(let at, let stage, let suspects, let most) where workers[at].isFree:
      let id = "request\(nextSerial())"
      return try await send(
        .claim(stage: stage, suspects: suspects, most: most, id: id), by: at, lost: lost)
    case .act(let at, let batch, let act) where workers[at].isFree:
      guard let token = workers[at].tokens[batch] else { return nil }
      if case .renew = act { return nil }
      return try await send(.act(token, act), by: at, lost: lost)
    case .beat(let at) where workers[at].isFree: return try await beat(at, lost: lost)
    case .tick(let at) where workers[at].isFree:
      return try await send(.tick, by: at, lost: lost)
    case .outbox(let at, let dies) where workers[at].isFree:
      return try await empty(at, dies: dies, lost: lost)
    case .gate(let at, let batch) where workers[at].isFree:
      return try await askGate(at, batch, lost: lost)
    case .leave(let at) where workers[at].isFree:
      for token in workers[at].tokens.values.sorted(by: { $0.fence < $1.fence }) {
        _ = try await send(.act(token, .handBack), by: at, lost: false)
      }
      _ = try await send(.leave, by: at, lost: false)
      workers[at].die()
    default: return nil
    }
    return nil
  }

  mutating func start(_ at: Int) async throws {
    workers[at].isAlive = true
    workers[at].boots += 1
    _ = try await send(.register(boot: workers[at].boot), by: at, lost: false)
    _ = try await send(.recover, by: at, lost: false)
  }

  mutating func beat(_ at: Int, lost: Bool) async throws -> String {
    let tokens = workers[at].tokens.values.sorted { $0.fence < $1.fence }
    return try await send(.renew(tokens, boot: workers[at].boot), by: at, lost: lost)
  }

  private mutating func empty(_ at: Int, dies: Bool, lost: Bool) async throws -> String? {
    let taken = try await send(.outbox, by: at, lost: false)
    if dies {
      ledger.count(.deathBeforeArchive)
      workers[at].die()
      return nil
    }
    let runs = taken.split(separator: "|").map { $0.split(separator: "/").map(String.init) }
    return runs.isEmpty ? nil : try await send(.archive(runs), by: at, lost: lost)
  }

  private mutating func askGate(_ at: Int, _ batch: String, lost: Bool) async throws -> String? {
    guard let token = workers[at].tokens[batch], let account = picture.batches[batch]?.account,
      !account.isEmpty, hasKnownClock(at)
    else { return nil }
    if let reservation = workers[at].reservations[account] {
      return try await send(
        .gateConfirm(
          token, account: account, at: reservation.at, generation: reservation.generation),
        by: at, lost: lost)
    }
    return try await send(.gateTake(token, account: account), by: at, lost: lost)
  }

  /// A process that was thought dead knows everything but that it lost: it may change nothing.
  private mutating func zombie(_ number: Int, _ act: Move.Act) async throws -> String? {
    guard !tokens.isEmpty else { return nil }
    let token = tokens[number % tokens.count]
    guard !picture.renews(token), let at = workers.firstIndex(where: { $0.isFree }) else {
      return nil
    }
    ledger.count(.zombie)
    let request: Request =
      act == .renew ? .renew([token], boot: workers[at].boot) : .act(token, act)
    return try await send(request, by: at, lost: false, isZombie: true)
  }

  /// Verbs of people: they need no lease, and are told in words.
  private mutating func people(_ deed: Move.Deed) async throws -> String? {
    var command: [RedisArgument]
    switch deed {
    case .cancel(let batch): command = ["cancel", .text("b\(batch)")]
    case .cancelAll: command = ["cancel", "operation:op"]
    case .retry(let batch, let fromFirst):
      command = ["retry", .text("b\(batch)")] + (fromFirst ? [.text(World.stages[0])] : [])
    case .pause(let what): command = ["pause", .text(what)]
    case .resume(let what): command = ["resume", .text(what)]
    default: return nil
    }
    let name = command.removeFirst().text
    let reply = try await call(name, command)
    if case .error(let error) = reply {
      let refusals = ["NOTFOUND", "ENDED", "LIVE", "DONE", "BADARG"]
      guard refusals.contains(error.serverCode) else {
        throw Violation("\(name) is answered: \(error.message)")
      }
      return error.serverCode
    }
    if case .retry(let batch, _) = deed, let words = reply.text?.split(separator: " "),
      words.count == 5, let run = Int(words[2])
    {
      ledger.retried("b\(batch)", run: run, from: String(words[4]))
    }
    return reply.text
  }
}

extension RedisArgument {
  fileprivate var text: String { if case .text(let text) = self { text } else { "" } }
}
