/// The protocol of DESIGN.md section 5 as a value: three batches of one operation, two stages, two workers,
/// one lane. This file holds the moves that the verbs share, as lifecycle.lua does; time is left out: whatever
/// a clock could cause may happen at any moment.
///
/// Items, gates, outbox and retention are not in it. Ids are 1...3, as 0 ends a packed list.
struct ReferenceModel: Hashable {
  /// The crash at which a batch is poison.
  static let maxCrashes: UInt8 = 2
  static let stages: UInt8 = 2

  var batches = [ModelBatch](repeating: ModelBatch(), count: 3)
  var workers = [ModelWorker](repeating: ModelWorker(), count: 2)
  /// By stage.
  var queues = [IDList](repeating: IDList(), count: 2)
  var suspects = [IDList](repeating: IDList(), count: 2)
  var lane = IDList()
  /// The zsets, one bit an id.
  var leases: UInt8 = 0
  var delayed: UInt8 = 0
  /// The lane's holder, 0 for none.
  var holder: UInt8 = 0
  var isAccountPaused = false
  /// One bit a stage.
  var pausedStages: UInt8 = 0
  var fenceCounter: UInt8 = 0
  /// Fences up to this one are of an older epoch.
  var epochFloor: UInt8 = 0
  var counts = ModelCounts()
  /// Disturbances that may still happen: what bounds the exploration.
  var budget: UInt8
  /// Whether batch 3 belongs to the account too; otherwise it has none.
  let allInLane: Bool
  let flaw: ModelFlaw?

  init(budget: UInt8, allInLane: Bool = true, flaw: ModelFlaw? = nil) {
    self.budget = budget
    self.allInLane = allInLane
    self.flaw = flaw
  }

  subscript(id: Int) -> ModelBatch {
    get { batches[id - 1] }
    set { batches[id - 1] = newValue }
  }

  func hasLane(_ id: Int) -> Bool { allInLane || id < 3 }

  func isPaused(_ stage: UInt8) -> Bool { pausedStages >> stage & 1 == 1 }

  mutating func become(_ id: Int, _ status: ModelStatus) {
    counts[self[id].status] -= 1
    counts[status] += 1
    self[id].status = status
  }

  /// To the list of the batch's stage. A suspect goes among the suspects, from wherever it comes.
  mutating func push(_ id: Int, front: Bool = false) {
    let stage = Int(self[id].stage)
    if self[id].crashes > 0 && flaw != .suspectMingles {
      self[id].place = .suspects
      suspects[stage].pushFront(id)
    } else {
      self[id].place = .queue
      if front { queues[stage].pushFront(id) } else { queues[stage].pushBack(id) }
    }
  }

  /// Joins the lane, or the list when the lane is free or the batch has none.
  mutating func enter(_ id: Int) {
    guard hasLane(id) else { return push(id) }
    if holder != 0 && holder != UInt8(id) && self[Int(holder)].status.isLiving {
      self[id].place = .lane
      lane.pushBack(id)
      return
    }
    holder = UInt8(id)
    if isAccountPaused { park(id) } else { push(id) }
  }

  /// The holder of a paused account's lane waits at its front.
  mutating func park(_ id: Int) {
    self[id].place = .lane
    lane.pushFront(id)
  }

  mutating func leavePlace(_ id: Int) {
    leases &= ~(1 << UInt8(id))
    delayed &= ~(1 << UInt8(id))
    self[id].place = .none
  }

  mutating func end(_ id: Int, _ status: ModelStatus) {
    leavePlace(id)
    if flaw == .cancelUncounted && status == .cancelled {
      self[id].status = status
    } else {
      become(id, status)
    }
    self[id].isCancelling = false
    self[id].crashes = 0
    self[id].isAlone = false
    if flaw != .laneKept { release(id) }
  }

  /// Hands the lane of an ended batch to the next one that still waits in it.
  mutating func release(_ id: Int) {
    guard hasLane(id) && holder == UInt8(id) else { return }
    while let waiter = lane.popFront() {
      let waits = self[waiter].status.isLiving && self[waiter].place == .lane
      guard waits || flaw == .laneWithoutCheck else { continue }
      holder = UInt8(waiter)
      return enter(waiter)
    }
    holder = 0
  }

  /// A lease that ended without a word.
  mutating func crashed(_ id: Int) {
    if self[id].isCancelling { return end(id, .cancelled) }
    if self[id].crashes == 0 || self[id].isAlone { self[id].crashes += 1 }
    if self[id].crashes >= Self.maxCrashes { return end(id, .failed) }
    leavePlace(id)
    self[id].place = .suspects
    suspects[Int(self[id].stage)].pushFront(id)
  }

  /// A lease of an older epoch: nobody is to blame.
  mutating func requeue(_ id: Int) {
    if self[id].isCancelling && flaw != .requeueForgetsCancel { return end(id, .cancelled) }
    leavePlace(id)
    push(id, front: true)
  }

  func isOlder(_ id: Int) -> Bool { self[id].fence <= epochFloor }

  /// Returns a worker's intake to its list, oldest first out again.
  mutating func sweep(_ worker: Int, stage: Int) {
    while let id = workers[worker].intakes[stage].popBack() { queues[stage].pushFront(id) }
  }

  /// Whether the token is that of the batch's lease in force. One of an older epoch holds nothing, although
  /// tick has not re-queued it yet.
  func isCurrent(_ token: ModelToken, of id: Int) -> Bool {
    let batch = self[id]
    return batch.place == .leases && batch.fence == token.fence && batch.stage == token.stage
      && !isOlder(id)
  }

  /// The check that every settlement makes.
  func holds(_ token: ModelToken, of id: Int) -> Bool {
    if flaw == .settleWithoutFence {
      return self[id].place == .leases && self[id].stage == token.stage
    }
    return isCurrent(token, of: id)
  }
}
