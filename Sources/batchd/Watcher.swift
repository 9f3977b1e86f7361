internal import Queue
internal import Redis

/// Looks at Redis once for every `next`, and goes on when Redis is away for a while.
struct Watcher {
  /// What one look showed.
  struct Update {
    /// In the order in which they were named, or began.
    var operations: [OperationProgress] = []
    var underWay: [BatchState] = []
    /// Since the last look.
    var changes: [Change] = []
    /// Why nothing was seen this time; the rest is as it was.
    var problem: String?
    var isFinished = false
    var isCompleted: Bool { operations.allSatisfy { $0.status == "completed" } }
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
    static let underWay = 200
    static let changes = 500
    static let itemErrors = 3
  }

  private let connect: () async throws -> Control
  private var control: Control?
  /// Empty for all that are unfinished.
  private var names: [String]
  private let isForAll: Bool
  private var lastChange: String?
  private var last = Update()
  private var hasBegun = false

  /// - Parameters:
  ///   - since: the state change after which to begin; nil is now.
  ///   - connect: opens a new connection, once.
  init(_ names: [String], since: String? = nil, connect: @escaping () async throws -> Control) {
    var seen: Set<String> = []
    self.names = names.filter { seen.insert($0).inserted }
    isForAll = names.isEmpty
    lastChange = since
    self.connect = connect
  }

  /// - Throws: `CommandError` for a name that nobody knows, and `RedisError` before the first look has succeeded.
  mutating func next() async throws -> Update {
    do {
      if control == nil { control = try await connect() }
      if !hasBegun {
        if lastChange == nil { lastChange = try await control!.lastChange() }
        if !isForAll { names = try await resolved(names, control!) }
        hasBegun = true
      }
      last = try await look(control!)
      return last
    } catch let error as RedisError where hasBegun && error.isPassing || error.code == .closed {
      control = nil
      var update = last
      update.changes = []
      update.problem = error.message
      return update
    }
  }

  private mutating func look(_ control: Control) async throws -> Update {
    var update = Update()
    if isForAll {
      let unfinished = try await control.unfinished(limit: Bound.operations).map(\.operation)
      names += unfinished.filter { !names.contains($0) }
    }
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
    let underWay = try await control.underWay(limit: Bound.underWay).filter(\.isLiving)
      .sorted { ($0.account ?? "", $0.id) < ($1.account ?? "", $1.id) }
    update.underWay = names.flatMap { name in underWay.filter { $0.operation == name } }
    let watched = Set(names)
    let changes = try await control.changes(after: lastChange ?? "0-0", limit: Bound.changes)
    lastChange = changes.last?.id ?? lastChange
    // Behind a flood, a watcher that reads on would show an ever older past.
    if changes.count == Bound.changes { lastChange = try await control.lastChange() }
    for change in changes where Self.concerns(change, watched) {
      update.changes.append(try await withErrors(change, control))
    }
    update.isFinished = update.operations.allSatisfy(\.isFinished)
    return update
  }

  private static func concerns(_ change: StateChange, _ watched: Set<String>) -> Bool {
    if let operation = change.operation { return watched.contains(operation) }
    if let batch = change.batch { return watched.contains(batch) }
    return true
  }

  /// An end carries no reason: the batch has it.
  private func withErrors(_ change: StateChange, _ control: Control) async throws -> Change {
    guard change.event == "ended", let batch = change.batch,
      let status = change.details["status"], status != "completed"
    else { return Change(change: change) }
    return Change(
      change: change, batch: try await control.batches([batch])[0],
      itemErrors: status == "cancelled"
        ? [:] : try await control.itemErrors(of: batch, limit: Bound.itemErrors))
  }

  /// The operations that people mean: a batch's name stands for its operation.
  private func resolved(_ names: [String], _ control: Control) async throws -> [String] {
    var operations: [String] = []
    let progress = try await control.progress(of: names)
    for (name, batch) in zip(names, try await control.batches(names)).enumerated().map(\.element) {
      let isOperation = progress.contains { $0?.operation == name }
      if !isOperation, let batch, batch.status == "rejected" {
        throw CommandError(
          .data,
          "batch \"\(name)\" was rejected: \(batch.error ?? ""); mend it and enqueue it again, batchd rejected shows it"
        )
      }
      guard let operation = isOperation ? name : batch?.operation else {
        throw CommandError(
          .data,
          "nothing is known of \"\(name)\": no operation and no batch has that name. Just enqueued? A worker must admit it first: batchd status shows who runs"
        )
      }
      if !operations.contains(operation) { operations.append(operation) }
    }
    return operations
  }
}
