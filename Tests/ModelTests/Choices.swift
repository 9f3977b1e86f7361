/// Which actions a state allows.
extension ReferenceModel {
  func choices() -> [Choice] {
    var all: [Choice] = []
    admissions(&all)
    for worker in 0..<2 { workerChoices(worker, &all) }
    for id in 1...3 { timeChoices(id, &all) }
    resumptions(&all)
    if budget > 0 { peopleChoices(&all) }
    return all
  }

  private func admissions(_ all: inout [Choice]) {
    // Batches of one account differ by name only: admitting them in one order covers every order.
    guard let id = (1...3).first(where: { self[$0].status == .absent }) else { return }
    all.append(Choice(action: .admit(id, later: false), isSystem: false))
    disturb(&all, .admit(id, later: true))
    if !allInLane && id < 3 && self[3].status == .absent {
      all.append(Choice(action: .admit(3, later: false), isSystem: false))
    }
  }

  private func workerChoices(_ worker: Int, _ all: inout [Choice]) {
    let life = workers[worker].life
    if life == .alive {
      for stage in 0..<2 { takeChoices(worker, stage, &all) }
      for id in 1...3 where workers[worker].tokens[id - 1].fence != 0 {
        tokenChoices(worker, id, &all)
      }
      disturb(&all, .crash(worker))
      return
    }
    // A person or systemd starts it again; the others must not need that.
    let isAnyAlive = workers.contains { $0.life == .alive }
    all.append(Choice(action: .restart(worker), isSystem: !isAnyAlive))
    if life == .dead { all.append(Choice(action: .bury(worker))) }
    if life == .buried && workers[worker].intakes.contains(where: { !$0.isEmpty })
      && flaw != .sweepOnce
    {
      all.append(Choice(action: .sweep(worker)))
    }
    // The host vanished while it was blocked in BLMOVE: Redis serves it still.
    for stage in 0..<2 where !queues[stage].isEmpty { disturb(&all, .fetch(worker, stage: stage)) }
  }

  private func takeChoices(_ worker: Int, _ stage: Int, _ all: inout [Choice]) {
    let isIntakeEmpty = workers[worker].intakes[stage].isEmpty
    if isIntakeEmpty && !queues[stage].isEmpty {
      all.append(Choice(action: .fetch(worker, stage: stage)))
    }
    if !isIntakeEmpty || !queues[stage].isEmpty {
      for most in 1...2 {
        all.append(
          Choice(action: .claim(worker, stage: UInt8(stage), from: .queue, most: most)))
      }
    }
    let runsSuspect = (1...3).contains {
      self[$0].isAlone && isCurrent(workers[worker].tokens[$0 - 1], of: $0)
    }
    if !suspects[stage].isEmpty && !runsSuspect {
      all.append(
        Choice(action: .claim(worker, stage: UInt8(stage), from: .suspects, most: 1)))
    }
  }

  private func tokenChoices(_ worker: Int, _ id: Int, _ all: inout [Choice]) {
    let token = workers[worker].tokens[id - 1]
    guard isCurrent(token, of: id) else {
      let isRepeat = self[id].settled == token
      all.append(Choice(action: isRepeat ? .hearAgain(worker, id) : .hearLost(worker, id)))
      return
    }
    for goOn in [false, true] {
      all.append(Choice(action: .finish(worker, id, goOn: goOn)))
      disturb(&all, .finishUnheard(worker, id, goOn: goOn))
    }
    if self[id].crashes > 0 { all.append(Choice(action: .checkpoint(worker, id))) }
    if self[id].isCancelling { all.append(Choice(action: .renew(worker, id))) }
    disturb(&all, .fail(worker, id, forGood: false))
    disturb(&all, .fail(worker, id, forGood: true))
    disturb(&all, .snooze(worker, id))
    disturb(&all, .handBack(worker, id))
  }

  private func timeChoices(_ id: Int, _ all: inout [Choice]) {
    switch self[id].place {
    case .delayed:
      all.append(Choice(action: .due(id)))
    case .leases:
      let isRenewed = workers.contains { isCurrent($0.tokens[id - 1], of: id) }
      if !isRenewed {
        all.append(Choice(action: .expire(id)))
      } else {
        // A worker that is paused or cut off: it lives and knows nothing.
        disturb(&all, .expire(id))
      }
    case .none, .queue, .suspects, .lane:
      break
    }
  }

  private func resumptions(_ all: inout [Choice]) {
    for stage in 0..<Self.stages where isPaused(stage) {
      all.append(Choice(action: .resumeStage(stage)))
    }
    if isAccountPaused { all.append(Choice(action: .resumeAccount)) }
  }

  private func peopleChoices(_ all: inout [Choice]) {
    for id in 1...3 {
      if self[id].status.isLiving && !self[id].isCancelling { disturb(&all, .cancel(id)) }
      if self[id].status.isEnded {
        disturb(&all, .again(id, fromFirst: true))
        if self[id].status != .completed && self[id].stage > 0 {
          disturb(&all, .again(id, fromFirst: false))
        }
      }
    }
    for stage in 0..<Self.stages where !isPaused(stage) { disturb(&all, .pauseStage(stage)) }
    if !isAccountPaused { disturb(&all, .pauseAccount) }
    if (1...3).contains(where: { self[$0].place == .leases && !isOlder($0) }) {
      disturb(&all, .adopt)
    }
  }

  private func disturb(_ all: inout [Choice], _ action: Action) {
    if budget > 0 { all.append(Choice(action: action, isSystem: false, isDisturbance: true)) }
  }
}
