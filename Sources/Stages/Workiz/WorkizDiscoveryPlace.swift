import Pipeline
import Worker

/// How far a discovery has come: the cursor that makes a crash resume at the page.
struct WorkizDiscoveryPlace: Sendable, Equatable {
  /// Far beyond any account; a listing that never ends stops here.
  static let maximumPages = 10_000

  private(set) var page = 0
  /// Batches made so far: the number in the last child's id.
  private(set) var children = 0
  private(set) var listed = 0
  private(set) var isDone = false
  /// The last of the store's UUIDs that has a batch.
  private(set) var after: String?
  /// The fence under which the listing began: part of the children's ids. A rerun, and a new life of the id after its
  /// retention (a refresh each week under one name), need children of their own: one that failed in an earlier life is
  /// known for a month, and a child whose id is known is not made.
  private let life: Fence
  /// The UUIDs of the page before.
  private var previous: [String] = []

  init(_ job: StageJob) {
    let cursor = job.cursor
    // What comes from Redis is not trusted: a number near the end of 64 bits must not stop the worker.
    func integer(_ name: String) -> Int? {
      cursor?[name].flatMap(Lenient.integer).flatMap { (0...1_000_000_000).contains($0) ? $0 : nil }
    }
    page = integer("page") ?? 0
    children = integer("children") ?? 0
    listed = integer("listed") ?? 0
    isDone = cursor?["done"] == .bool(true)
    after = cursor?["after"]?.string
    life = cursor?["life"]?.string.flatMap { Fence($0) } ?? job.fence
    previous = cursor?["previous"]?.array?.compactMap(\.string) ?? []
  }

  /// The members of the cursor.
  var cursor: [String: JSON] {
    var members: [String: JSON] = [
      "page": .integer(Int64(page)), "children": .integer(Int64(children)),
      "listed": .integer(Int64(listed)), "done": .bool(isDone), "life": .string("\(life)"),
      "previous": .array(previous.map { .string($0) }),
    ]
    members["after"] = after.map { .string($0) }
    return members
  }

  /// `offset` of the next page.
  func offset(_ unit: WorkizConfiguration.OffsetUnit) -> Int {
    unit == .pages ? page : page * WorkizRequest.recordsPerPage
  }

  /// Takes in the envelope of the next page.
  /// - Parameter batchSize: nil for the configuration's.
  /// - Returns: the envelopes of the batches for it.
  /// - Throws: `StageError.permanent` when the pages show that `offset` counts something else.
  mutating func advance(
    _ envelope: JSON, of job: StageJob, _ configuration: WorkizConfiguration,
    batchSize: Int? = nil
  ) throws(StageError) -> [JSON] {
    guard let data = envelope["data"]?.array else {
      throw .retry("Workiz listed jobs without an array 'data'")
    }
    let uuids = data.compactMap { $0["UUID"]?.string }
    try checkOffset(uuids, configuration.offsetUnit)
    // A job made meanwhile shifts the rest: what the page before ended with comes again.
    let fresh = uuids.filter { !previous.contains($0) }
    page += 1
    listed += fresh.count
    previous = uuids
    let hasMore =
      envelope["has_more"].flatMap(Lenient.bool) ?? (data.count == WorkizRequest.recordsPerPage)
    isDone = !hasMore
    let found = envelope["found"].flatMap(Lenient.integer) ?? 0
    if isDone, page > 1, listed + WorkizRequest.recordsPerPage <= found {
      throw Self.wrongUnit(configuration.offsetUnit, "\(listed) jobs came of \(found)")
    }
    if page >= Self.maximumPages, hasMore {
      throw .permanent("the listing does not end after \(page) pages; narrow payload.discover")
    }
    return batches(fresh, job, batchSize ?? configuration.batchSize)
  }

  /// Takes in the next of the store's jobs; fewer than `pageSize` are the last.
  /// - Returns: the envelopes of the batches for them.
  mutating func advance(
    known uuids: [String], pageSize: Int, of job: StageJob, batchSize: Int
  ) -> [JSON] {
    page += 1
    listed += uuids.count
    after = uuids.last ?? after
    isDone = uuids.count < pageSize
    return batches(uuids, job, batchSize)
  }

  private func checkOffset(
    _ uuids: [String], _ unit: WorkizConfiguration.OffsetUnit
  ) throws(StageError) {
    guard page > 0 else { return }
    guard let first = uuids.first else {
      throw Self.wrongUnit(unit, "a page after one that had more came back empty")
    }
    // A repeat near the end is a shift by new jobs; a repeat near the start is a page that moved by a
    // record, or not at all.
    if let repeated = previous.firstIndex(of: first), repeated < max(2, previous.count / 2) {
      throw Self.wrongUnit(unit, "page \(page + 1) repeats job \(first) of the page before")
    }
  }

  private static func wrongUnit(
    _ unit: WorkizConfiguration.OffsetUnit, _ evidence: String
  ) -> StageError {
    let other = unit == .records ? "pages" : "records"
    return .permanent(
      "Workiz seems to count 'offset' in \(other), not \(unit.rawValue) (\(evidence)): "
        + "set offset_unit = \"\(other)\" for the pipeline and retry")
  }

  private mutating func batches(_ uuids: [String], _ job: StageJob, _ size: Int) -> [JSON] {
    var payload = job.payload?.object ?? [:]
    payload["discover"] = nil
    return stride(from: 0, to: uuids.count, by: size).map { start in
      children += 1
      var envelope: [String: JSON] = [
        "id": .string("\(job.batch).\(life).\(children)"), "operation": .string(job.operation),
        "pipeline": .string(job.pipeline),
        "items": .array(uuids[start..<min(start + size, uuids.count)].map { .string($0) }),
      ]
      envelope["account"] = job.account.map { .string($0) }
      if !payload.isEmpty { envelope["payload"] = .object(payload) }
      return .object(envelope)
    }
  }
}
