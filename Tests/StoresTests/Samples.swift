import Pipeline
import Stores

extension StageJob {
  static func sample(
    _ batch: String = "b1", run: Int = 1, fence epoch: Int, _ counter: Int,
    stage: Stage = .persistence, account: String? = "acme", operation: String = "op",
    number: Int = 1
  ) -> StageJob {
    StageJob(
      batch: batch, operation: operation, account: account, pipeline: "workiz", stage: stage,
      run: run, attempt: 1, number: number, fence: Fence(epoch: epoch, counter: counter), items: [],
      itemCount: 10, payload: nil, cursor: nil)
  }
}

extension EndedBatch {
  static func sample(
    _ batch: String = "b1", run: Int = 1, status: String = "completed", account: String? = "acme",
    operation: String = "op", number: Int = 1, done: Int = 10, error: String? = nil,
    itemErrors: [String: String] = [:], admitted: Int64 = 0
  ) -> EndedBatch {
    EndedBatch(
      batch: batch, run: run, status: status, operation: operation, account: account,
      pipeline: "workiz", stage: .persistence, number: number, itemsTotal: 10, itemsDone: done,
      itemsFailed: 10 - done, retryCount: 2, error: error, itemErrors: itemErrors,
      admittedAt: Timestamp(milliseconds: 1_769_860_800_000 + admitted),
      startedAt: Timestamp(milliseconds: 1_769_860_801_250),
      finishedAt: Timestamp(milliseconds: 1_769_860_809_125))
  }
}

extension JobDocument {
  static func sample(_ uuid: String, account: String = "acme", status: String = "Submitted")
    -> JobDocument
  {
    let text = """
      {"UUID":"\(uuid)","Status":"\(status)","JobDateTime":"2026-01-31T12:00:00Z","Unit":7}
      """
    return JobDocument(
      uuid: uuid, account: account, document: [UInt8](text.utf8), contentHash: "hash of \(status)")
  }
}

/// Runs `call` and returns the code of the `StoreError` that it throws, or nil when it succeeds.
func refusal(_ call: () async throws -> Void) async throws -> StoreError.Code? {
  do { try await call() } catch let error as StoreError { return error.code }
  return nil
}

extension ResultsStore {
  /// Raises the fence of `job` to its own.
  func raise(
    _ job: StageJob, prefix: String = "batchd", forgotten: String? = nil
  ) async throws {
    try await raise(fence: job.fence, of: job, prefix: prefix, forgotten: forgotten)
  }

  func epoch() async throws -> Int { try await epoch(of: "batchd") }

  func raise(epoch: Int) async throws { try await raise(epoch: epoch, of: "batchd") }
}
