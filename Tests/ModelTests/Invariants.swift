/// What must hold in every state. Each check answers with a sentence about what is wrong.
extension ReferenceModel {
  func violation() -> String? {
    countsViolation() ?? laneViolation() ?? zombieViolation()
      ?? (1...3).lazy.compactMap { self.placeViolation($0) ?? self.leaseViolation($0) }.first
  }

  var isQuiescent: Bool { !batches.contains { $0.status.isLiving } }

  private func countsViolation() -> String? {
    var sum = 0
    for status in ModelStatus.allCases where status != .absent {
      let batchesThere = batches.reduce(0) { $0 + ($1.status == status ? 1 : 0) }
      if counts[status] != batchesThere {
        return "the count of \(status) is \(counts[status]), there are \(batchesThere)"
      }
      sum += counts[status]
    }
    return sum == Int(counts.total) ? nil : "the counts sum to \(sum), total is \(counts.total)"
  }

  /// A living batch is where its place says, and an ended one is nowhere.
  private func placeViolation(_ id: Int) -> String? {
    let batch = self[id]
    let stage = Int(batch.stage)
    let bit = UInt8(1) << UInt8(id)
    if (leases & bit != 0) != (batch.place == .leases) { return "b\(id) and leases disagree" }
    if (delayed & bit != 0) != (batch.place == .delayed) { return "b\(id) and delayed disagree" }
    let isThere =
      switch batch.place {
      case .none: !batch.status.isLiving
      case .queue:
        queues[stage].contains(id) || workers.contains { $0.intakes[stage].contains(id) }
      case .suspects: suspects[stage].contains(id)
      case .lane: lane.contains(id)
      case .leases, .delayed: true
      }
    if !isThere { return "b\(id) is \(batch.status) and lost: place \(batch.place)" }
    if !batch.status.isLiving && batch.place != .none {
      return "b\(id) is \(batch.status) in \(batch.place)"
    }
    if batch.crashes > 0 && batch.place == .queue { return "suspect b\(id) waits among the others" }
    return nil
  }

  private func leaseViolation(_ id: Int) -> String? {
    let holders = workers.reduce(0) { $0 + (isCurrent($1.tokens[id - 1], of: id) ? 1 : 0) }
    if holders > 1 { return "two workers hold the lease of b\(id)" }
    if self[id].isCancelling && self[id].place != .leases {
      return "b\(id) is being cancelled but not under a lease: nobody will end it"
    }
    if self[id].place == .leases && self[id].status != .processing {
      return "b\(id) is under a lease and \(self[id].status)"
    }
    return nil
  }

  private func laneViolation() -> String? {
    let inLane = (1...3).filter(hasLane)
    if holder != 0 && !self[Int(holder)].status.isLiving {
      return "the lane is held by ended b\(holder)"
    }
    for id in inLane where holder != UInt8(id) {
      let batch = self[id]
      let isWaiting = batch.place == .lane || (batch.place == .delayed && batch.status == .pending)
      if batch.status.isLiving && !isWaiting { return "b\(id) is under way without the lane" }
      if batch.place == .lane && holder == 0 { return "b\(id) waits in a lane that nobody holds" }
    }
    return nil
  }

  /// A worker whose lease was lost tries everything with what it remembers.
  private func zombieViolation() -> String? {
    for worker in workers {
      for id in 1...3 {
        let token = worker.tokens[id - 1]
        guard token.fence != 0 && !isCurrent(token, of: id) else { continue }
        var after = self
        _ = after.renew(token, of: id)
        _ = after.checkpoint(token, of: id)
        _ = after.finish(token, of: id, goOn: true)
        _ = after.fail(token, of: id, forGood: false)
        _ = after.snooze(token, of: id)
        _ = after.handBack(token, of: id)
        if after != self { return "a zombie changes b\(id)" }
      }
    }
    return nil
  }
}
