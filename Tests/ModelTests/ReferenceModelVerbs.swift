/// The verbs: one per function of the library, with its rules. A worker's verbs take the token that the worker
/// remembers, which may be that of a lease it lost.
extension ReferenceModel {
  /// What a claim gave, in order; `isFresh` when each fence was greater than all before.
  struct Claimed {
    var ids: [Int] = []
    var isFresh = true
  }

  mutating func admit(_ id: Int, later: Bool) {
    counts.total += 1
    counts[.pending] += 1
    self[id].status = .pending
    if later {
      self[id].place = .delayed
      delayed |= 1 << UInt8(id)
    } else {
      enter(id)
    }
  }

  /// BLMOVE of one id into the worker's intake: the server's doing, whether or not the worker lives.
  mutating func fetch(_ worker: Int, stage: Int) {
    guard let id = queues[stage].popFront() else { return }
    workers[worker].intakes[stage].pushBack(id)
  }

  mutating func claim(_ worker: Int, stage: UInt8, source: ModelPlace, most: Int) -> Claimed {
    if isPaused(stage) {
      sweep(worker, stage: Int(stage))
      return Claimed()
    }
    var given: [Int] = []
    for id in take(worker, stage: Int(stage), source: source, most: most) {
      let isHere = self[id].place == source && self[id].stage == stage
      guard isHere || flaw == .claimWithoutPlace else { continue }
      // A list may hold an id twice, and nothing is written before all are read.
      guard !given.contains(id) || flaw == .claimTwice else { continue }
      if isAccountPaused && hasLane(id) { park(id) } else { given.append(id) }
    }
    var claimed = Claimed(ids: given)
    for id in given {
      if flaw != .fenceRepeated || fenceCounter == 0 { fenceCounter += 1 }
      let isUsed = workers.contains { $0.tokens.contains { $0.fence >= fenceCounter } }
      claimed.isFresh = claimed.isFresh && !isUsed
      lease(id, worker: worker, isAlone: source == .suspects)
    }
    return claimed
  }

  private mutating func take(
    _ worker: Int, stage: Int, source: ModelPlace, most: Int
  ) -> [Int] {
    var ids: [Int] = []
    if source == .suspects {
      while ids.count < most, let id = suspects[stage].popFront() { ids.append(id) }
      return ids
    }
    while ids.count < most, let id = workers[worker].intakes[stage].popFront() { ids.append(id) }
    while ids.count < most, let id = queues[stage].popFront() { ids.append(id) }
    return ids
  }

  private mutating func lease(_ id: Int, worker: Int, isAlone: Bool) {
    become(id, .processing)
    self[id].place = .leases
    self[id].fence = fenceCounter
    self[id].owner = UInt8(worker)
    self[id].isAlone = isAlone
    leases |= 1 << UInt8(id)
    workers[worker].tokens[id - 1] = ModelToken(fence: fenceCounter, stage: self[id].stage)
  }

  mutating func renew(_ token: ModelToken, of id: Int) -> ModelAnswer {
    guard holds(token, of: id) else { return .lost }
    guard self[id].isCancelling else { return .held }
    end(id, .cancelled)
    return .ended
  }

  /// A checkpoint with a new item: it clears the suspicion.
  mutating func checkpoint(_ token: ModelToken, of id: Int) -> ModelAnswer {
    guard holds(token, of: id) else { return .lost }
    self[id].crashes = 0
    return renew(token, of: id)
  }

  mutating func finish(_ token: ModelToken, of id: Int, goOn: Bool) -> ModelAnswer {
    settle(token, of: id) { model in
      guard model[id].stage + 1 < Self.stages else {
        model.end(id, .completed)
        return .ended
      }
      return model.advance(id, goOn: goOn)
    }
  }

  private mutating func advance(_ id: Int, goOn: Bool) -> ModelAnswer {
    self[id].stage += 1
    self[id].crashes = 0
    let isHeldUp = isAccountPaused && hasLane(id)
    if goOn && queues[Int(self[id].stage)].isEmpty && !isPaused(self[id].stage) && !isHeldUp {
      return .next
    }
    leavePlace(id)
    if isHeldUp { park(id) } else { push(id) }
    return .queued
  }

  mutating func fail(_ token: ModelToken, of id: Int, forGood: Bool) -> ModelAnswer {
    settle(token, of: id) { model in
      if forGood {
        model.end(id, .failed)
        return .ended
      }
      model.postpone(id)
      model.become(id, .retrying)
      model[id].crashes = 0
      return .retrying
    }
  }

  mutating func snooze(_ token: ModelToken, of id: Int) -> ModelAnswer {
    settle(token, of: id) { model in
      model.postpone(id)
      return .snoozed
    }
  }

  mutating func handBack(_ token: ModelToken, of id: Int) -> ModelAnswer {
    settle(token, of: id) { model in
      model.leavePlace(id)
      model.push(id, front: true)
      return .handedBack
    }
  }

  private mutating func postpone(_ id: Int) {
    leavePlace(id)
    self[id].place = .delayed
    delayed |= 1 << UInt8(id)
  }

  /// What all settlements share: the fence, the repeated call, the cancel flag, the mark.
  private mutating func settle(
    _ token: ModelToken, of id: Int, _ body: (inout ReferenceModel) -> ModelAnswer
  ) -> ModelAnswer {
    guard holds(token, of: id) else { return repeated(token, of: id) }
    let answer: ModelAnswer
    if self[id].isCancelling {
      end(id, .cancelled)
      answer = .ended
    } else {
      answer = body(&self)
    }
    self[id].settled = token
    self[id].settledAnswer = answer
    return answer
  }

  /// The first answer again. A lease that went on and was lost since is lost.
  private func repeated(_ token: ModelToken, of id: Int) -> ModelAnswer {
    guard self[id].settled == token else { return .lost }
    let following = ModelToken(fence: token.fence, stage: token.stage + 1)
    if self[id].settledAnswer == .next && !isCurrent(following, of: id) { return .lost }
    return self[id].settledAnswer
  }

  /// Tick meets the lease of a worker that does not renew it.
  mutating func expire(_ id: Int) {
    if isOlder(id) { requeue(id) } else { crashed(id) }
  }

  mutating func due(_ id: Int) {
    leavePlace(id)
    if self[id].status == .retrying { become(id, .processing) }
    enter(id)
  }

  mutating func cancel(_ id: Int) {
    if self[id].place == .leases { self[id].isCancelling = true } else { end(id, .cancelled) }
  }

  /// `batchd_retry` (from the stage where it ended) or an enqueued rerun (from the first).
  mutating func again(_ id: Int, fromFirst: Bool) {
    become(id, .pending)
    let stage = fromFirst ? 0 : self[id].stage
    self[id] = ModelBatch(status: .pending, stage: stage)
    enter(id)
  }

  mutating func resumeAccount() {
    isAccountPaused = false
    let id = Int(holder)
    guard id != 0 && self[id].place == .lane else { return }
    lane.removeFirst(id)
    push(id, front: true)
  }

  /// kill -9: the memory is gone, what Redis holds stays.
  mutating func crash(_ worker: Int) {
    workers[worker].life = .dead
    workers[worker].tokens = ModelWorker().tokens
  }

  mutating func sweepAll(_ worker: Int) {
    for stage in 0..<Int(Self.stages) { sweep(worker, stage: stage) }
  }

  /// register and recover: a worker started again under its name has its own work back at once.
  mutating func restart(_ worker: Int) {
    workers[worker].life = .alive
    sweepAll(worker)
    for id in 1...3 where self[id].place == .leases && self[id].owner == UInt8(worker) {
      expire(id)
    }
  }

  /// A new epoch: the leases of the old one are lost, which tick carries out.
  mutating func adopt() { epochFloor = fenceCounter }
}
