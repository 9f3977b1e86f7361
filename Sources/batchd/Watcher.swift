internal import Queue
internal import Redis

/// Looks at Redis once for every `next`, and goes on when Redis is away for a while.
struct Watcher {
  /// What one look showed.
  struct Update {
    /// In the order in which they were named, or began.
    var operations: [OperationProgress] = []
    /// By operation; of one that has ended as they last were.
    var details: [String: OperationDetail] = [:]
    var conditions = Control.Conditions()
    /// Since the last look.
    var changes: [Change] = []
    /// Whether others came that were not read.
    var hasSkipped = false
    /// Why nothing was seen this time; the rest is as it was.
    var problem: String?
    var isFinished = false
    /// Whether one that is no longer among the operations ended otherwise.
    var hasUncompleted = false
    var isCompleted: Bool {
      !hasUncompleted && operations.allSatisfy { $0.status == "completed" }
    }
  }

  /// A state change with the errors that go with it.
  struct Change: Equatable {
    let change: StateChange
    /// The batch, for an end that is not `completed`.
    var batch: BatchState?
    /// Items that failed for good, a few of them.
    var itemErrors: [String: String] = [:]
  }

  private enum Bound {
    static let operations = 50
    static let changesPerStep = 1_000
    /// As many as the stream keeps.
    static let changes = 10_000
    static let itemErrors = 3
  }

  /// Redis has other work: a look at many batches takes a tenth of the time between two.
  private static let restFactor = 9
  /// A look that took long because Redis stood still is no reason to look away.
  private static let longestRest = Duration.seconds(2)

  /// nil when there is no other.
  private let prefix: String?
  private let connect: () async throws -> Control
  private let gates: (_ pipeline: String, _ account: String) -> [String]
  private var control: Control?
  /// Empty for all that are unfinished.
  private var names: [String]
  /// Those of the names that this prefix knows nothing of, so far.
  private var unknown: [String] = []
  private let waitsForNames: Bool
  private let isForAll: Bool
  private var lastChange: String?
  private var last = Update()
  private var hasBegun = false
  private var nextLook = ContinuousClock.now

  /// - Parameters:
  ///   - prefix: one of several, of which each need not know all names; nil when there is one.
  ///   - waitsForNames: whether it is not over before all names are known.
  ///   - since: the state change after which to begin; nil is now.
  ///   - gates: the names of the gates that an account's batches of a pipeline ask.
  ///   - connect: opens a new connection, once.
  init(
    _ names: [String], of prefix: String? = nil, waitsForNames: Bool = false,
    since: String? = nil,
    gates: @escaping (_ pipeline: String, _ account: String) -> [String] = { _, _ in [] },
    connect: @escaping () async throws -> Control
  ) {
    var seen: Set<String> = []
    self.names = names.filter { seen.insert($0).inserted }
    self.prefix = prefix
    self.waitsForNames = waitsForNames
    isForAll = names.isEmpty
    lastChange = since
    self.gates = gates
    self.connect = connect
  }

  /// What is there now; what the last look showed while it is too early for the next.
  /// - Throws: `CommandError` for a name that nobody knows, and `RedisError` before the first look has succeeded.
  mutating func next() async throws -> Update {
    last.changes = []
    last.hasSkipped = false
    let began = ContinuousClock.now
    guard began >= nextLook else { return last }
    do {
      if control == nil { control = try await connect() }
      if !hasBegun {
        if lastChange == nil { lastChange = try await control!.lastChange() }
        if !isForAll { names = try await resolved(names, control!) }
        hasBegun = true
      }
      last = try await look(control!)
      nextLook = .now + min((.now - began) * Self.restFactor, Self.longestRest)
    } catch let error as RedisError
      where (hasBegun || prefix != nil) && (error.isPassing || error.code == .closed)
    {
      control = nil
      last.problem = error.message
      // The others need not wait for the time that a connection may take.
      if prefix != nil { nextLook = .now + Self.longestRest }
    }
    return last
  }

  private mutating func look(_ control: Control) async throws -> Update {
    var update = Update()
    update.hasUncompleted = last.hasUncompleted
    if isForAll {
      forgetEnded(&update)
      let unfinished = try await control.unfinished(limit: Bound.operations).map(\.operation)
      names += unfinished.filter { !names.contains($0) }
    }
    if !unknown.isEmpty {
      let found = try await resolved(unknown, control)
      names += found.filter { !names.contains($0) }
    }
    update.conditions = try await control.conditions()
    for (at, progress) in try await control.progress(of: names).enumerated() {
      guard let known = progress ?? last.operations.first(where: { $0.operation == names[at] })
      else { continue }
      update.operations.append(known)
      if progress == nil && !known.isFinished {
        throw CommandError(
          .data,
          "Redis has forgotten \(known.operation): was it flushed, or restarted without persistence?"
        )
      }
    }
    update.details = try await details(update, control)
    try await addChanges(to: &update, control)
    update.isFinished =
      update.operations.allSatisfy(\.isFinished) && !(waitsForNames && !unknown.isEmpty)
    return update
  }

  /// Of all operations there are, ever more have ended: the last ones stay.
  private mutating func forgetEnded(_ update: inout Update) {
    let gone = last.operations.filter(\.isFinished).dropLast(Bound.operations)
    guard !gone.isEmpty else { return }
    if gone.contains(where: { $0.status != "completed" }) { update.hasUncompleted = true }
    let known = Set(gone.map(\.operation))
    names.removeAll { known.contains($0) }
    for name in known { last.details[name] = nil }
  }

  /// What has ended and was looked at since stays as it is.
  private func details(
    _ update: Update, _ control: Control
  ) async throws -> [String: OperationDetail] {
    let moving = update.operations.filter { progress in
      !progress.isFinished || last.details[progress.operation] == nil
        || !last.operations.contains(progress)
    }
    let details = try await control.details(
      of: moving, now: update.conditions.takenAt, gates: gates)
    return last.details.merging(details) { $1 }
  }

  /// Reads on to the newest change. Behind a flood that the stream cannot hold some are lost, which is said.
  private mutating func addChanges(to update: inout Update, _ control: Control) async throws {
    let watched = Set(names)
    var changes: [StateChange] = []
    while true {
      let from = lastChange ?? "0-0"
      let page = try await control.changes(after: from, limit: Bound.changesPerStep)
      lastChange = page.last?.id ?? lastChange
      if try await !control.keepsChange(from) {
        update.hasSkipped = true
        if page.isEmpty { lastChange = try await control.lastChange() }
      }
      changes += page.filter { Self.concerns($0, watched) }
      if page.count < Bound.changesPerStep { break }
      if changes.count >= Bound.changes {
        lastChange = try await control.lastChange()
        update.hasSkipped = true
        break
      }
    }
    let ends = changes.filter { Self.hasFailed($0) }.compactMap(\.batch)
    var states = try await control.batches(ends)[...]
    var errors = try await control.itemErrors(of: ends, limit: Bound.itemErrors)[...]
    update.changes = changes.map { change in
      guard Self.hasFailed(change), change.batch != nil else { return Change(change: change) }
      let (batch, items) = (states.removeFirst(), errors.removeFirst())
      return Change(
        change: change, batch: batch,
        itemErrors: change.details["status"] == "cancelled" ? [:] : items)
    }
  }

  /// An end carries no reason: the batch has it.
  private static func hasFailed(_ change: StateChange) -> Bool {
    change.event == "ended" && change.details["status"] != "completed"
  }

  private static func concerns(_ change: StateChange, _ watched: Set<String>) -> Bool {
    if let operation = change.operation { return watched.contains(operation) }
    if let batch = change.batch { return watched.contains(batch) }
    return true
  }

  private static func nobodyKnows(_ name: String) -> CommandError {
    CommandError(
      .data,
      "nothing is known of \"\(name)\": no operation and no batch has that name. Just enqueued? A worker must admit it first: batchd status shows who runs"
    )
  }

  /// The operations that people mean: a batch's name stands for its operation.
  private mutating func resolved(
    _ names: [String], _ control: Control
  ) async throws -> [String] {
    var operations: [String] = []
    unknown = []
    let progress = try await control.progress(of: names)
    for (name, batch) in zip(names, try await control.batches(names)).enumerated().map(\.element) {
      let isOperation = progress.contains { $0?.operation == name }
      let isRejected = !isOperation && batch?.status == "rejected"
      if isRejected, prefix == nil, let batch { throw CommandError(rejected: batch) }
      guard let operation = isOperation ? name : isRejected ? nil : batch?.operation else {
        guard prefix != nil || waitsForNames else { throw Self.nobodyKnows(name) }
        unknown.append(name)
        continue
      }
      if !operations.contains(operation) { operations.append(operation) }
    }
    return operations
  }

  // MARK: several prefixes

  /// What all of them see, as one. An operation over several prefixes is a part of it under each, with its name.
  static func next(_ watchers: inout [Watcher]) async throws -> Update {
    guard watchers.count > 1 else { return try await watchers[0].next() }
    var all = Update()
    all.isFinished = true
    var workers: Int?
    for at in watchers.indices {
      let update = try await watchers[at].next()
      let prefix = watchers[at].prefix ?? ""
      all.operations += update.operations.map { $0.part(of: prefix) }
      for (operation, detail) in update.details { all.details["\(operation) \(prefix)"] = detail }
      all.changes += update.changes
      all.hasSkipped = all.hasSkipped || update.hasSkipped
      all.hasUncompleted = all.hasUncompleted || update.hasUncompleted
      all.isFinished = all.isFinished && update.isFinished
      if let problem = update.problem { all.problem = "\(prefix): \(problem)" }
      guard watchers[at].hasBegun else { continue }
      let seen = update.conditions
      workers = min(workers ?? seen.workers, seen.workers)
      all.conditions.takenAt = max(all.conditions.takenAt, seen.takenAt)
      all.conditions.paused = Set(all.conditions.paused + seen.paused).sorted()
    }
    all.conditions.workers = workers ?? 0
    guard watchers.contains(where: \.hasBegun) else {
      throw CommandError(.unavailable, all.problem ?? "no Redis")
    }
    let names = watchers.map { $0.hasBegun ? Set($0.unknown) : [] }
    let unknown = names.dropFirst().reduce(names[0]) { $0.intersection($1) }
    if let name = unknown.min(), !watchers[0].waitsForNames { throw Self.nobodyKnows(name) }
    return all
  }
}
