public import Pipeline

/// Where results and history live: one contract, one suite over every implementation.
///
/// Every write of a batch's results names the fence of its lease. The row of the batch holds the highest fence
/// that was raised; a write needs equality, so a worker that lost its lease changes nothing, even when the
/// newer holder has not written yet.
///
/// Several prefixes may share a store. Each has epochs of its own, for its Redis is adopted by itself; the ids of batches
/// are names for all of them.
public protocol ResultsStore: Sendable {
  /// The identity of the store, made once when its tables are; workers compare it with `batchd:store`.
  func identity() async throws -> String

  /// The highest epoch that any worker of `prefix` recorded here. A prefix that is new here begins with the highest of
  /// all, so that its fences are greater than those of batches that were another's; 0 in a new store.
  func epoch(of prefix: String) async throws -> Int

  /// Records `epoch` for `prefix` if it is higher than the one on record.
  func raise(epoch: Int, of prefix: String) async throws

  /// Puts `job`'s fence into its batch's row if it is greater than the one there, creating the row. Between prefixes
  /// fences say nothing: the row of a run that has ended under another prefix is taken over by any, and one of `forgotten`.
  /// - Parameter forgotten: another prefix, whose Redis knows nothing of the batch.
  /// - Throws: `StoreError` with code `.fenced` when the row already holds a greater fence, or this one for a
  ///   run that has ended; `.taken` when it is that of an unfinished batch of another prefix.
  func raise(fence: Fence, of job: StageJob, prefix: String, forgotten: String?) async throws

  /// Inserts or replaces the documents by (UUID, account) in one transaction that requires `job`'s fence.
  /// - Returns: how many rows were new or different from what the store held.
  /// - Throws: `StoreError` with code `.fenced` when the batch's row holds another fence or its run has ended.
  func upsert(_ documents: [JobDocument], for job: StageJob) async throws -> Int

  /// The content hashes on record, by UUID, for the given jobs of one account.
  func contentHashes(account: String, uuids: [String]) async throws -> [String: String]

  /// The UUIDs of the known jobs of one account in the store's own order, at most `limit` of them.
  /// - Parameter after: the UUID after which to go on; nil begins.
  func jobs(account: String, after: String?, limit: Int) async throws -> [String]

  /// Inserts those documents whose (UUID, account) is not there, in one transaction and under no fence: for an import. What
  /// a batch has fetched is newer and stays.
  /// - Returns: how many were inserted.
  /// - Throws: `StoreError` with code `.invalid` for a document that the store does not take; then none was inserted.
  func add(_ documents: [JobDocument]) async throws -> Int

  /// Writes ended runs into the history, repeatably: a run that is there already stays as it is.
  func record(_ ended: [EndedBatch]) async throws

  /// Ended runs, the newest first: by the moment of their end, then by batch and run.
  /// - Throws: `StoreError` with code `.invalid` when the query's limit is out of its range.
  func history(_ query: HistoryQuery) async throws -> [EndedBatch]

  /// Closes the store after the calls under way.
  func close() async throws
}

/// One Workiz job as it is stored.
public struct JobDocument: Sendable, Hashable {
  /// Six characters A–Z and 0–9.
  public let uuid: String
  public let account: String
  /// The whole document as JSON text.
  public let document: [UInt8]
  /// A hash over what the service sent, to tell a changed job from an unchanged one.
  public let contentHash: String

  public init(uuid: String, account: String, document: [UInt8], contentHash: String) {
    self.uuid = uuid
    self.account = account
    self.document = document
    self.contentHash = contentHash
  }
}

/// What a store refuses or fails at.
public struct StoreError: Error, Sendable, CustomStringConvertible {
  public enum Code: String, Sendable {
    /// The batch's row holds another fence: this worker no longer has the lease. Nothing was written.
    case fenced
    /// The batch's row is that of an unfinished batch of the same id under another prefix. Nothing was written.
    case taken
    /// The store cannot be reached or is busy, full or read-only; the call may be repeated.
    case unavailable
    /// The file or database is not one of batchd's, or from a newer version.
    case incompatible
    /// The store does not take a value (a document that is not JSON, a text too long); a repetition fails alike.
    case invalid
  }

  public let code: Code
  /// What happened, to what, and what to do about it.
  public let message: String
  /// Of `taken`: the prefix whose batch the row is.
  public private(set) var prefix: String?

  public init(_ code: Code, _ message: String) {
    self.code = code
    self.message = message
  }

  public var description: String { message }

  /// A write of `job` with `fence` is refused.
  /// - Parameters:
  ///   - prefix: of the job; nil when it is that of the row.
  ///   - held: what the batch's row holds, nil without a row.
  init(refusing job: StageJob, fence: Fence, prefix: String? = nil, held: HeldFence?) {
    if let prefix, let other = held?.prefix, other != prefix {
      self.init(
        .taken,
        "batch \(job.batch) is unfinished under the prefix \(other), too: it waits for that one's end; ids are names for"
          + " all prefixes of a store; if that prefix is used no more, cancel this one and enqueue it again with rerun"
      )
      self.prefix = other
      return
    }
    let held = held.map { "run \($0.run), \($0.status), fence \($0.fence)" } ?? "no fence"
    self.init(
      .fenced,
      "batch \(job.batch), run \(job.run), fence \(fence): the store holds \(held)."
        + " This worker no longer has the lease; nothing was written and nothing is to be done")
  }
}

/// What the row of a batch says of who may write for it.
struct HeldFence {
  let run: Int
  let status: String
  let fence: Fence
  /// nil when a batchd wrote the row that knew of one prefix only.
  let prefix: String?
}
