internal import Redis

/// One `batchd:batch:ID`: where a batch is and how it fares.
public struct BatchState: Sendable, Hashable, Encodable {
  public let id: String
  /// `pending`, `processing`, `retrying`, one of the four ends, or `rejected`: then `error` says why and most else is
  /// missing.
  public let status: String
  public let operation: String?
  public let account: String?
  public let pipeline: String?
  public let stage: String?
  public let worker: String?
  /// Its life, from 1; each retry and rerun is a new one.
  public let run: Int
  public let attempt: Int
  public let retryCount: Int
  /// Its position among its account's batches in the operation, from 1.
  public let number: Int
  /// Items of the stage that its pipeline counts.
  public let itemsTotal: Int
  public let itemsDone: Int
  public let itemsFailed: Int
  public let error: String?
  /// RFC 3339 by Redis's clock.
  public let admittedAt: String?
  public let startedAt: String?
  public let finishedAt: String?

  init?(_ id: String, _ fields: [String: String]) {
    guard let status = fields.text("status") else { return nil }
    self.id = id
    self.status = status
    operation = fields.text("operation")
    account = fields.text("account")
    pipeline = fields.text("pipeline")
    stage = fields.text("stage")
    worker = fields.text("worker")
    run = fields.count("run")
    attempt = fields.count("attempt")
    retryCount = fields.count("retry_count")
    number = fields.count("number")
    itemsTotal = fields.count("items_total")
    itemsDone = fields.count("items_done")
    itemsFailed = fields.count("items_failed")
    error = fields.text("error")
    admittedAt = fields.text("admitted_at")
    startedAt = fields.text("started_at")
    finishedAt = fields.text("finished_at")
  }

  /// Whether its run has not ended.
  public var isLiving: Bool { Self.isLiving(status) }

  static func isLiving(_ status: String) -> Bool {
    ["pending", "processing", "retrying"].contains(status)
  }
}

extension Control {
  /// The state of each batch; nil for one that is not known.
  public func batches(_ ids: [String]) async throws -> [BatchState?] {
    let replies = try await read(ids.map { ["HGETALL", .text(keys.batch($0))] })
    return zip(ids, replies).map { BatchState($0, $1.fields) }
  }

  /// Up to `limit` of the batches that a worker holds, those whose lease ends first.
  public func underWay(limit: Int) async throws -> [BatchState] {
    let ids = try await read([["ZRANGE", .text(keys.leases), 0, .integer(limit - 1)]])[0].texts
    return try await batches(ids).compactMap { $0 }
  }

  /// For each batch up to `limit` of its items that failed for good, each with its error; in no order.
  public func itemErrors(of batches: [String], limit: Int) async throws -> [[String: String]] {
    try await read(
      batches.map { ["HRANDFIELD", .text(keys.errors($0)), .integer(limit), "WITHVALUES"] }
    ).map(\.fields)
  }
}
