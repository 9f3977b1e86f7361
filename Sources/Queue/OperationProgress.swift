internal import Redis

/// One `batchd:progress:OP`: how far an operation is.
///
/// `pending + processing + retrying` and the four ends sum to `total`; items count one stage of the pipeline.
public struct OperationProgress: Sendable, Hashable, Encodable {
  public let operation: String
  /// Under which prefix this part of it is; nil when there is no other.
  public private(set) var prefix: String?
  /// `pending`, `processing`, or the end: `completed`, `completed_with_errors`, `failed`, `cancelled`.
  public let status: String
  public let total: Int
  public let pending: Int
  public let processing: Int
  public let retrying: Int
  public let completed: Int
  public let completedWithErrors: Int
  public let failed: Int
  public let cancelled: Int
  public let itemsTotal: Int
  public let itemsDone: Int
  public let itemsFailed: Int
  public let percent: Int
  /// How many batches the operation will have; nil when nobody said.
  public let size: Int?
  /// RFC 3339 by Redis's clock.
  public let startedAt: String?
  public let updatedAt: String?
  public let finishedAt: String?

  /// Tells the parts of an operation over several prefixes apart.
  public var label: String { prefix.map { "\(operation) \($0)" } ?? operation }

  public func part(of prefix: String) -> Self {
    var part = self
    part.prefix = prefix
    return part
  }

  init?(_ operation: String, _ fields: [String: String]) {
    guard let status = fields.text("status") else { return nil }
    self.operation = operation
    self.status = status
    total = fields.count("total")
    pending = fields.count("pending")
    processing = fields.count("processing")
    retrying = fields.count("retrying")
    completed = fields.count("completed")
    completedWithErrors = fields.count("completed_with_errors")
    failed = fields.count("failed")
    cancelled = fields.count("cancelled")
    itemsTotal = fields.count("items_total")
    itemsDone = fields.count("items_done")
    itemsFailed = fields.count("items_failed")
    percent = fields.count("percent")
    let size = fields.count("size")
    self.size = size > 0 ? size : nil
    startedAt = fields.text("started_at")
    updatedAt = fields.text("updated_at")
    finishedAt = fields.text("finished_at")
  }

  /// Nothing in it lives and its declared size is reached. A retry may reopen it.
  public var isFinished: Bool { status != "pending" && status != "processing" }

  /// Batches that have ended, whichever way.
  public var ended: Int { completed + completedWithErrors + failed + cancelled }
}

extension Control {
  /// The progress of each operation; nil for one that is not known.
  public func progress(of operations: [String]) async throws -> [OperationProgress?] {
    let replies = try await read(operations.map { ["HGETALL", .text(keys.progress($0))] })
    return zip(operations, replies).map { OperationProgress($0, $1.fields) }
  }

  /// Unfinished operations among the last `limit` that changed, longest under way first.
  public func unfinished(limit: Int) async throws -> [OperationProgress] {
    let names = try await read([
      ["ZRANGE", .text(keys.operations), 0, .integer(limit - 1), "REV"]
    ])[0].texts
    return try await progress(of: names).compactMap { $0 }.filter { !$0.isFinished }
      .sorted { ($0.startedAt ?? "~", $0.operation) < ($1.startedAt ?? "~", $1.operation) }
  }
}
