import Pipeline

/// What does not hold.
struct Violation: Error {
  let text: String

  init(_ text: String) { self.text = text }
}

/// What a simulation must have met to show anything: faults, and what they lead to.
enum Event: String, CaseIterable {
  case kill, freeze, zombie, silence
  case lostReply = "lost reply"
  case deathBeforeArchive = "death between SQL and archive"
  case clockStep = "clock step"
  case noticedJump = "noticed jump"
  case rollback
  case rollbackBehindStore = "rollback behind the store's epoch"
  case rollbackUnderConnections = "rollback under open connections"
  case refusedEpoch = "refused epoch"
  case refusedClock = "refused clock"
  case registeredAgain = "registered again"
  case chargedCrash = "charged crash"
  case poison
  case endedRetention = "ended retention"
  case gatedRequest = "request through a gate"
}

/// What clients, workers and SQL were told: what the protocol promised so far.
struct Ledger {
  /// The part that a rollback of Redis takes back, for it happened in Redis only.
  struct Timeline {
    /// Entries pushed and not answered by admit.
    var entries: Set<String> = []
    /// Known batches with their run.
    var runs: [String: Int] = [:]
    /// Items done by `ID:STAGE`, and failed for good by id.
    var done: [String: Set<String>] = [:]
    var failed: [String: Set<String>] = [:]
    /// Runs as `ID/RUN` whose end SQL has, and Redis knows it.
    var archived: Set<String> = []
    /// What batches whose retention is over left in the operation's counts.
    var expired = Counts()
    /// First answers, by token.
    var answers: [Token: String] = [:]
  }

  var timeline = Timeline()
  /// The results store: the highest epoch, and the ended runs.
  var storeEpoch = 0
  var highestFence = Fence(epoch: 0, counter: 0)
  /// When a lease was last prolonged, in milliseconds of true time, by fence.
  var prolonged: [Fence: Int] = [:]
  /// When the last request went through a gate, in milliseconds of true time, by account.
  var lastRequest: [String: Int] = [:]
  /// What has come to pass: a fault that never fires shows nothing.
  var seen: [Event: Int] = [:]

  mutating func count(_ event: Event) { seen[event, default: 0] += 1 }
}

/// The counts of an operation: total, the statuses, the items.
struct Counts: Equatable {
  var values = [Int](repeating: 0, count: 11)

  mutating func add(_ batch: BatchRecord) {
    values[0] += 1
    values[1 + (Picture.statuses.firstIndex(of: batch.status) ?? 0)] += 1
    values[8] += batch.itemsTotal
    values[9] += batch.itemsDone
    values[10] += batch.itemsFailed
  }
}

extension Ledger {
  /// Items are done once and stay done until somebody asks for them again.
  mutating func checkpointed(_ token: Token, item: String, failed: Bool) {
    let key = "\(token.batch):\(token.stage)"
    if timeline.done[key, default: []].contains(item) { return }
    if timeline.failed[token.batch, default: []].contains(item) { return }
    if failed {
      timeline.failed[token.batch, default: []].insert(item)
    } else {
      timeline.done[key, default: []].insert(item)
    }
  }

  mutating func retried(_ batch: String, run: Int, from stage: String) {
    timeline.runs[batch] = run
    let failed = timeline.failed.removeValue(forKey: batch) ?? []
    let first = World.stages.firstIndex(of: stage) ?? 0
    for stage in World.stages[first...] {
      timeline.done["\(batch):\(stage)"]?.subtract(failed)
    }
  }

  /// A first life, or a new one from nothing.
  mutating func admitted(_ batch: String) {
    timeline.runs[batch, default: 0] += 1
    forgetItems(of: batch)
  }

  /// The keys of an ended batch are gone; its operation counts it as long as it has keys itself.
  mutating func expired(_ batch: BatchRecord, isOperationGone: Bool) {
    if !isOperationGone { timeline.expired.add(batch) }
    timeline.runs[batch.id] = nil
    forgetItems(of: batch.id)
    timeline.archived = timeline.archived.filter { !$0.hasPrefix("\(batch.id)/") }
    timeline.answers = timeline.answers.filter { $0.key.batch != batch.id }
  }

  private mutating func forgetItems(of batch: String) {
    timeline.failed[batch] = nil
    for stage in World.stages { timeline.done["\(batch):\(stage)"] = nil }
  }

  /// What a handler is told of its items is what was kept.
  func checkItems(_ batch: String, stage: String, done: [String], failed: [String]) throws {
    let kept = timeline.done["\(batch):\(stage)"] ?? []
    guard Set(done) == kept else {
      throw Violation("\(batch) has done \(kept.sorted()) in \(stage), Redis says \(done.sorted())")
    }
    let lost = timeline.failed[batch] ?? []
    guard Set(failed) == lost else {
      throw Violation("of \(batch) failed \(lost.sorted()), Redis says \(failed.sorted())")
    }
  }
}
