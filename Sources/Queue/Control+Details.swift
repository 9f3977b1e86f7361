internal import Redis

/// Looking into operations: their batches' own records, in steps of some hundred, for Redis has other work.
extension Control {
  private enum Bound {
    /// Batches of all operations together.
    static let members = 5_000
    static let membersPerStep = 500
    /// Of all operations together, too.
    static let accounts = 1_000
    static let underWay = 200
  }

  /// What keeps work from going on everywhere.
  public struct Conditions: Sendable, Hashable {
    /// Unix milliseconds by Redis's clock.
    public var takenAt = 0
    public var workers = 0
    public var paused: [String] = []

    public init() {}
  }

  public func conditions() async throws -> Conditions {
    let replies = try await read([
      ["TIME"], ["ZCARD", .text(keys.workers)], ["SMEMBERS", .text(keys.paused)],
    ])
    var conditions = Conditions()
    conditions.takenAt = Self.milliseconds(replies[0])
    conditions.workers = replies[1].integer ?? 0
    conditions.paused = replies[2].texts.sorted()
    return conditions
  }

  /// Each operation from its batches' records: of up to 5,000 batches and 1,000 accounts, in the order of the operations.
  /// Beyond that an operation's accounts are shown as far as their progress keys tell, and no stages.
  /// - Parameters:
  ///   - operations: read before, so that no batch is missing here that counts there.
  ///   - gates: the names of the gates that an account's batches of a pipeline ask.
  public func details(
    of operations: [OperationProgress], now: Int,
    gates: (_ pipeline: String, _ account: String) -> [String]
  ) async throws -> [String: OperationDetail] {
    let sizes = try await read(
      operations.flatMap {
        [
          ["LLEN", .text(keys.members($0.operation))],
          ["SCARD", .text(keys.accounts($0.operation))],
        ]
      })
    var (left, leftAccounts) = (Bound.members, Bound.accounts)
    var details: [String: OperationDetail] = [:]
    for (at, progress) in operations.enumerated() {
      let size = (sizes[2 * at].integer ?? 0) + 1
      let accountCount = sizes[2 * at + 1].integer ?? 0
      var detail = OperationDetail()
      detail.accountCount = accountCount
      detail.isWhole = size <= left
      var tally = OperationTally(leases: keys.leases)
      var known: Set<String> = []
      if detail.isWhole {
        left -= size
        for member in try await readMembers(of: progress.operation) {
          known.insert(member.state.id)
          tally.add(member)
          if member.place == keys.leases && detail.underWay.count < Bound.underWay {
            detail.underWay.append(member.state)
          }
        }
        detail.seen = tally.seen
        detail.stages = tally.stages(total: progress.total)
        detail.changedAt = [tally.changedAt, progress.updatedAt ?? ""].max()
      } else {
        detail.changedAt = progress.updatedAt
        detail.underWay = try await underWay(limit: Bound.underWay)
          .filter { $0.isLiving && $0.operation == progress.operation }
      }
      detail.accounts = try await accountStates(
        progress.operation, limit: leftAccounts, count: accountCount, tally, known, now: now, gates)
      leftAccounts -= detail.accounts.count
      detail.accountCount = max(accountCount, detail.accounts.count)
      details[progress.operation] = detail
    }
    return details
  }

  /// The batches of an operation that have a record; one that runs for another operation since belongs to that.
  private func readMembers(of operation: String) async throws -> [Member] {
    let listed = try await read([
      ["LRANGE", .text(keys.members(operation)), 0, .integer(Bound.members - 1)]
    ])[0].texts
    // A batch may be an operation of its own.
    return try await readMembers(listed.filter { $0 != operation } + [operation])
      .filter { $0.state.operation == operation }
  }

  func readMembers(_ ids: [String]) async throws -> [Member] {
    let fields = Member.fields.map { RedisArgument.text($0) }
    var found: [Member] = []
    var met: Set<String> = []
    for start in stride(from: 0, to: ids.count, by: Bound.membersPerStep) {
      let some = ids[start..<min(start + Bound.membersPerStep, ids.count)]
        .filter { met.insert($0).inserted }
      let replies = try await read(some.map { ["HMGET", .text(keys.batch($0))] + fields })
      found += zip(some, replies).compactMap { id, reply in
        Member(id, (reply.array ?? []).map(\.text))
      }
    }
    return found
  }

  private func accountStates(
    _ operation: String, limit: Int, count: Int, _ tally: OperationTally, _ known: Set<String>,
    now: Int,
    _ gates: (String, String) -> [String]
  ) async throws -> [AccountState] {
    var names = Set(tally.accounts.keys)
    if count <= limit {
      names.formUnion(
        try await read([["SMEMBERS", .text(keys.accounts(operation))]])[0].texts)
    }
    let living = names.filter { tally.current[$0] != nil }.sorted()
    let ended = names.filter { tally.current[$0] == nil }.sorted()
    let shown = (living + ended).prefix(limit)
    let records = try await read(
      shown.map {
        [
          "HMGET", .text(keys.progress(operation, account: $0)), "total_batches", "ended",
          "current_batch", "started_at",
        ]
      })
    var states = zip(shown, records).map { name, record in
      Self.merged(
        tally.accounts[name] ?? AccountState(account: name), (record.array ?? []).map(\.text))
    }
    try await addWaits(&states, tally, known, now: now, gates)
    return states.sorted { $0.account < $1.account }
  }

  /// Adds what only the account's progress key knows: batches whose records were not looked at.
  private static func merged(_ state: AccountState, _ record: [String?]) -> AccountState {
    var state = state
    func count(_ at: Int) -> Int { record.count > at ? record[at]?.countOfRedis ?? 0 : 0 }
    let total = count(0)
    guard total > state.total else { return state }
    let ended = min(count(1), total)
    let living = total - ended
    if state.total == 0 {
      let isUnderWay = count(2) > 0 && living > 0
      state.processing = isUnderWay ? 1 : 0
      state.pending = living - state.processing
      state.number = isUnderWay ? count(2) : nil
      state.unseen = ended
    } else {
      state.unseen = total - state.total
    }
    state.total = total
    return state
  }
}
