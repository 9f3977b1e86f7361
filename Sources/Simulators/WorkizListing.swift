import Pipeline

/// One request of `job/all/`: its filters and its page.
struct WorkizListing: Equatable {
  static let maximumRecords = 100
  /// Without `start_date` the service lists this many days back.
  static let defaultDays: Int64 = 14

  var startsAt: Int64
  var offset = 0
  var records = maximumRecords
  var isOnlyOpen = true
  var statuses: Set<String> = []

  /// Reads the query.
  /// - Returns: nil when a value is not of its type, which the service answers with 400.
  init?(_ query: [(name: String, value: String)], today: Int64) {
    startsAt = today - Self.defaultDays * 86_400
    for (name, value) in query {
      switch name {
      case "start_date":
        guard let day = WorkizTimes.day(value) else { return nil }
        startsAt = day
      case "offset":
        guard let number = Int(value), (0...10_000_000).contains(number) else { return nil }
        offset = number
      case "records":
        guard let number = Int(value), number > 0 else { return nil }
        records = min(number, Self.maximumRecords)
      case "only_open":
        guard let flag = ["true": true, "1": true, "false": false, "0": false][value] else {
          return nil
        }
        isOnlyOpen = flag
      case "status":
        statuses.insert(value.lowercased())
      default: break
      }
    }
  }

  func reply(_ world: WorkizWorld, _ account: WorkizWorld.Account, _ unit: OffsetUnit)
    -> WorkizReply
  {
    let found = account.jobs.filter { job in
      job.deletion == nil && job.startsAt >= startsAt && (job.isOpen || !isOnlyOpen)
        && (statuses.isEmpty || statuses.contains(job.status.lowercased()))
    }
    let first = unit == .records ? offset : offset * records
    let page = found.dropFirst(first).prefix(records)
    return .json(
      200,
      [
        "flag": .bool(true), "code": .integer(200), "found": .integer(Int64(found.count)),
        "has_more": .bool(first + page.count < found.count),
        "data": .array(page.map { world.document(of: $0, in: account) }),
      ])
  }

  typealias OffsetUnit = WorkizSimulatorSettings.OffsetUnit
}
