import Pipeline

/// What must hold after every step. Each check throws a sentence about what is wrong.
extension Picture {
  func check(_ ledger: Ledger) throws {
    try checkKnown(ledger)
    try checkCounts(ledger)
    try checkOutbox(ledger)
    let leases = scores("leases")
    let jumped = scores("jumped")
    let delayed = try scores("delayed").merging(jumped) { _, _ in
      throw Violation("a batch stands in delayed and in jumped")
    }
    let isThere = memberships()
    for batch in batches.values {
      try checkPlace(batch, leases, delayed, isThere)
      try checkLane(batch)
    }
    try checkLanes()
    for id in Set(leases.keys).union(delayed.keys) where batches[id] == nil {
      throw Violation("\(id) stands in leases or delayed and is no batch")
    }
    let fences = batches.values.filter { $0.place == "leases" }.map(\.fence)
    guard Set(fences).count == fences.count else { throw Violation("two leases have one fence") }
  }

  private func checkKnown(_ ledger: Ledger) throws {
    let runs = batches.filter { $0.value.status != "rejected" }.mapValues(\.run)
    guard runs == ledger.timeline.runs else {
      throw Violation("Redis knows \(runs), admitted were \(ledger.timeline.runs)")
    }
    let raws =
      (members("enqueue") + keys("intake:").filter { $0.hasSuffix(":enqueue") }.flatMap(members))
      .map(String.init)
    guard raws.sorted() == ledger.timeline.entries.sorted() else {
      throw Violation(
        "entries waiting are \(raws), pushed were \(ledger.timeline.entries.sorted())")
    }
  }

  /// The counts of the progress key are those of its batches, and sum to the total.
  private func checkCounts(_ ledger: Ledger) throws {
    let shown = text("progress:op").split(separator: "|", omittingEmptySubsequences: false)
      .prefix(11).map { Int($0) ?? 0 }
    guard shown.count == 11 else {
      if batches.isEmpty { return }
      throw Violation("the operation has batches and no progress")
    }
    var counts = ledger.timeline.expired
    for batch in batches.values { counts.add(batch) }
    guard Array(shown) == counts.values else {
      throw Violation("progress is \(shown), its batches make \(counts.values)")
    }
    guard shown[1...7].reduce(0, +) == shown[0], shown[9] + shown[10] <= shown[8] else {
      throw Violation("progress does not sum: \(shown)")
    }
  }

  /// Each run that has ended is in the outbox or archived, once.
  private func checkOutbox(_ ledger: Ledger) throws {
    var ends = ends
    for run in ledger.timeline.archived { ends[run, default: 0] += 1 }
    for batch in batches.values {
      for run in 1...max(batch.run, 1) {
        let expected = run < batch.run || !batch.isLiving ? 1 : 0
        let found = ends["\(batch.id)/\(run)"] ?? 0
        if found != expected {
          throw Violation("run \(run) of \(batch.id) has ended \(found) times, not \(expected)")
        }
      }
    }
  }

  /// The ids that each list holds; a queue's are also in intakes of the same list.
  private func memberships() -> [String: Set<Substring>] {
    var found: [String: Set<Substring>] = [:]
    for key in keys("queue:") + keys("suspects:") + keys("lane:") {
      found[key, default: []].formUnion(members(key))
    }
    for key in keys("intake:") where !key.hasSuffix(":enqueue") {
      let list = key.split(separator: ":").dropFirst(2).joined(separator: ":")
      found["queue:\(list)", default: []].formUnion(members(key))
    }
    return found
  }

  /// A living batch is in the one place that it names, and an ended one is nowhere.
  private func checkPlace(
    _ batch: BatchRecord, _ leases: [String: Int], _ delayed: [String: Int],
    _ isThere: [String: Set<Substring>]
  ) throws {
    let id = batch.id
    guard (leases[id] != nil) == (batch.place == "leases") else {
      throw Violation("\(id) and leases disagree, its place is \(batch.place)")
    }
    guard (delayed[id] != nil) == (batch.place == "delayed") else {
      throw Violation("\(id) and delayed disagree, its place is \(batch.place)")
    }
    if batch.isCancelling && batch.place != "leases" {
      throw Violation("\(id) is being cancelled but not under a lease: nobody will end it")
    }
    switch batch.place {
    case "": if batch.isLiving { throw Violation("\(id) is \(batch.status) and nowhere") }
    case "leases":
      if batch.status != "processing" {
        throw Violation("\(id) is under a lease and \(batch.status)")
      }
    case "delayed": break
    default:
      let list = "w:\(batch.stage)"
      let allowed = [
        batch.crashes > 0 ? "suspects:\(list)" : "queue:\(list)", "lane:w:\(batch.account)",
      ]
      guard allowed.contains(batch.place) else {
        throw Violation(
          "\(id) is in \(batch.place), in stage \(batch.stage) with \(batch.crashes) crashes")
      }
      guard isThere[batch.place]?.contains(Substring(id)) == true else {
        throw Violation("\(id) is \(batch.status) and lost: \(batch.place) does not hold it")
      }
    }
    if !batch.isLiving && !batch.place.isEmpty {
      throw Violation("\(id) is \(batch.status) in \(batch.place)")
    }
  }

  /// One batch per account is under way: the holder of the lane.
  private func checkLane(_ batch: BatchRecord) throws {
    guard batch.isLiving, !batch.account.isEmpty else { return }
    let lane = "w:\(batch.account)"
    let holder = holders[lane]
    if holder == batch.id { return }
    let isWaiting =
      batch.place == "lane:\(lane)" || (batch.place == "delayed" && batch.status == "pending")
    guard isWaiting else { throw Violation("\(batch.id) is under way without its lane") }
    if batch.place == "lane:\(lane)" && holder == nil {
      throw Violation("\(batch.id) waits in a lane that nobody holds")
    }
  }

  private func checkLanes() throws {
    for (lane, holder) in holders {
      guard let batch = batches[holder], batch.isLiving, lane == "w:\(batch.account)" else {
        throw Violation("lane \(lane) is held by \(holder), which does not live")
      }
    }
  }

  private var holders: [String: String] {
    let parts = members("lanes").map(String.init)
    return Dictionary(
      uniqueKeysWithValues: stride(from: 0, to: parts.count - 1, by: 2).map {
        (parts[$0], parts[$0 + 1])
      })
  }
}
