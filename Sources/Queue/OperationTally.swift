internal import Pipeline

/// One batch's record as far as a tally needs it.
struct Member {
  static let fields = [
    "status", "operation", "account", "pipeline", "stage", "stages", "place", "attempt", "number",
    "items_total", "items_done", "items_failed", "error", "updated_at",
  ]

  let state: BatchState
  let place: String
  /// As the record holds them, with commas between.
  let stages: String
  let changedAt: String

  init?(_ id: String, _ values: [String?]) {
    var fields: [String: String] = [:]
    for (name, value) in zip(Self.fields, values) { fields[name] = value }
    guard let state = BatchState(id, fields), state.status != "rejected" else { return nil }
    self.state = state
    place = fields["place"] ?? ""
    stages = fields["stages"] ?? ""
    changedAt = fields["updated_at"] ?? ""
  }
}

/// Counts batches by stage and by account.
struct OperationTally {
  private var stages: [Stage: StageCount] = [:]
  private var lists: [String: [Stage]] = [:]
  private(set) var accounts: [String: AccountState] = [:]
  private(set) var current: [String: (rank: Int, member: Member)] = [:]
  private(set) var seen = 0
  private(set) var changedAt = ""
  private let leases: String

  /// - Parameter leases: the place of batches that a worker holds.
  init(leases: String) { self.leases = leases }

  mutating func add(_ member: Member) {
    seen += 1
    changedAt = max(changedAt, member.changedAt)
    count(stagesOf: member)
    if let account = member.state.account { count(member, account) }
  }

  /// The stages in order, each with the batches whose records are gone.
  func stages(total: Int) -> [StageCount] {
    stages.values.sorted { $0.stage < $1.stage }.map { count in
      var count = count
      count.unseen = max(total - seen, 0)
      count.total += count.unseen
      return count
    }
  }

  private mutating func count(stagesOf member: Member) {
    let list =
      lists[member.stages]
      ?? member.stages.split(separator: ",").compactMap { Stage(rawValue: String($0)) }
    lists[member.stages] = list
    let at = member.state.stage.flatMap(Stage.init(rawValue:)) ?? list.first ?? .setup
    for stage in list {
      var count = stages[stage] ?? StageCount(stage: stage)
      count.total += 1
      switch member.state.status {
      case "completed", "completed_with_errors": count.passed += 1
      case _ where stage < at: count.passed += 1
      case _ where stage > at: count.toCome += 1
      case "failed": count.failed += 1
      case "cancelled": count.cancelled += 1
      case "retrying": count.retrying += 1
      default:
        if member.place == leases { count.running += 1 } else { count.waiting += 1 }
      }
      stages[stage] = count
    }
  }

  private mutating func count(_ member: Member, _ account: String) {
    let state = member.state
    var count = accounts[account] ?? AccountState(account: account)
    count.total += 1
    switch state.status {
    case "pending": count.pending += 1
    case "retrying": count.retrying += 1
    case "completed": count.completed += 1
    case "completed_with_errors": count.completedWithErrors += 1
    case "failed": count.failed += 1
    case "cancelled": count.cancelled += 1
    default: count.processing += 1
    }
    count.itemsTotal += state.itemsTotal
    count.itemsDone += state.itemsDone
    count.itemsFailed += state.itemsFailed
    count.changedAt = max(count.changedAt ?? "", member.changedAt)
    accounts[account] = count
    guard state.isLiving else { return }
    let rank = rank(of: member)
    if let known = current[account],
      (known.rank, known.member.state.number) <= (rank, state.number)
    {
      return
    }
    current[account] = (rank, member)
  }

  /// The one under way comes first; then whoever has the lane, which is not in its list; then those that wait in it.
  private func rank(of member: Member) -> Int {
    if member.place == leases { return 0 }
    if member.state.status != "pending" { return 1 }
    if member.place.contains(":lane:") { return 3 }
    return member.place.hasSuffix(":delayed") ? 4 : 2
  }
}
