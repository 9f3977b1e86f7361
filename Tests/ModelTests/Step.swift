/// Carries out one action.
extension ReferenceModel {
  /// The state after the choice, in canonical form, and what was wrong with the step itself.
  func after(_ choice: Choice) -> (state: ReferenceModel, fault: String?) {
    var next = self
    if choice.isDisturbance { next.budget -= 1 }
    let fault = next.perform(choice.action)
    next.canonicalise()
    return (next, fault)
  }

  /// Carries out the action, and returns what was wrong with it.
  mutating func perform(_ action: Action) -> String? {
    switch action {
    case .admit(let id, let later): admit(id, later: later)
    case .fetch(let worker, let stage): fetch(worker, stage: stage)
    case .claim(let worker, let stage, let source, let most):
      return performClaim(worker, stage, source, most)
    case .checkpoint(let worker, let id): settle(worker, id) { $0.checkpoint($1, of: id) }
    case .renew(let worker, let id): settle(worker, id) { $0.renew($1, of: id) }
    case .finish(let worker, let id, let goOn):
      settle(worker, id) { $0.finish($1, of: id, goOn: goOn) }
    case .finishUnheard(let worker, let id, let goOn):
      _ = finish(workers[worker].tokens[id - 1], of: id, goOn: goOn)
    case .hearAgain(let worker, let id): return hearAgain(worker, id)
    case .hearLost(let worker, let id): workers[worker].tokens[id - 1] = ModelToken()
    case .fail(let worker, let id, let forGood):
      settle(worker, id) { $0.fail($1, of: id, forGood: forGood) }
    case .snooze(let worker, let id): settle(worker, id) { $0.snooze($1, of: id) }
    case .handBack(let worker, let id): settle(worker, id) { $0.handBack($1, of: id) }
    case .expire(let id): expire(id)
    case .due(let id): due(id)
    case .cancel(let id): cancel(id)
    case .again(let id, let fromFirst): again(id, fromFirst: fromFirst)
    case .pauseStage(let stage): pausedStages |= 1 << stage
    case .resumeStage(let stage): pausedStages &= ~(1 << stage)
    case .pauseAccount: isAccountPaused = true
    case .resumeAccount: resumeAccount()
    case .crash(let worker): crash(worker)
    case .bury(let worker):
      workers[worker].life = .buried
      sweepAll(worker)
    case .sweep(let worker): sweepAll(worker)
    case .restart(let worker): restart(worker)
    case .adopt: adopt()
    }
    return nil
  }

  private mutating func performClaim(
    _ worker: Int, _ stage: UInt8, _ source: ModelPlace, _ most: Int
  ) -> String? {
    let claimed = claim(worker, stage: stage, source: source, most: most)
    if Set(claimed.ids).count < claimed.ids.count { return "one claim gives a batch twice" }
    return claimed.isFresh ? nil : "a fence is issued again"
  }

  /// The worker acts, hears the answer and remembers what follows from it.
  private mutating func settle(
    _ worker: Int, _ id: Int, _ verb: (inout ReferenceModel, ModelToken) -> ModelAnswer
  ) {
    let answer = verb(&self, workers[worker].tokens[id - 1])
    remember(answer, worker, id)
  }

  private mutating func remember(_ answer: ModelAnswer, _ worker: Int, _ id: Int) {
    switch answer {
    case .held: break
    case .next: workers[worker].tokens[id - 1].stage += 1
    case .lost, .queued, .ended, .retrying, .snoozed, .handedBack:
      workers[worker].tokens[id - 1] = ModelToken()
    }
  }

  private mutating func hearAgain(_ worker: Int, _ id: Int) -> String? {
    let first = self[id].settledAnswer
    let answer = finish(workers[worker].tokens[id - 1], of: id, goOn: true)
    remember(answer, worker, id)
    let isOvertaken = first == .next && answer == .lost
    return answer == first || isOvertaken
      ? nil : "a repeated settlement is answered \(answer), first \(first)"
  }

  // MARK: canonical form

  /// Makes states equal that nothing can tell apart: forgotten marks, absolute fences, names of workers.
  private mutating func canonicalise() {
    var used: UInt64 = 0
    for worker in workers {
      for token in worker.tokens { used |= 1 << UInt64(token.fence) }
    }
    for id in 1...3 {
      if !workers.contains(where: { $0.tokens[id - 1] == self[id].settled }) {
        self[id].settled = ModelToken()
        self[id].settledAnswer = .lost
      }
      if self[id].place == .leases {
        used |= 1 << UInt64(self[id].fence)
      } else {
        self[id].fence = 0
        self[id].owner = 0
        self[id].isAlone = false
      }
    }
    rankFences(used & ~1)
    sortWorkers()
  }

  private mutating func rankFences(_ used: UInt64) {
    func rank(_ fence: UInt8) -> UInt8 {
      UInt8((used & ((2 << UInt64(fence)) - 1)).nonzeroBitCount)
    }
    for worker in 0..<2 {
      for index in 0..<3 where workers[worker].tokens[index].fence != 0 {
        workers[worker].tokens[index].fence = rank(workers[worker].tokens[index].fence)
      }
    }
    for index in 0..<3 {
      batches[index].fence = rank(batches[index].fence)
      batches[index].settled.fence = rank(batches[index].settled.fence)
    }
    epochFloor = rank(epochFloor)
    fenceCounter = rank(fenceCounter)
  }

  private mutating func sortWorkers() {
    let packed = [workers[0].packed, workers[1].packed]
    let isSorted =
      packed[0] == packed[1] ? owners(0) >= owners(1) : packed[0] > packed[1]
    guard !isSorted else { return }
    workers.swapAt(0, 1)
    for index in 0..<3 where batches[index].place == .leases { batches[index].owner ^= 1 }
  }

  /// One bit for each batch that the worker is on record for.
  private func owners(_ worker: UInt8) -> UInt8 {
    var bits: UInt8 = 0
    for id in 1...3 where self[id].place == .leases && self[id].owner == worker {
      bits |= 1 << UInt8(id)
    }
    return bits
  }
}
