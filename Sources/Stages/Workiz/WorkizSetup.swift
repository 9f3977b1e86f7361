import Pipeline
import Stores
import Worker

/// Checks account, token and items; with `payload.discover`, lists the account's jobs, as the service or the store knows
/// them, and fans out batches of them.
struct WorkizSetup: StageHandler {
  /// Tries of one page within an attempt.
  private static let maximumTries = 3
  /// Leaves room in 128 characters for the fence and the number of a child.
  private static let maximumParentBytes = 96

  /// Jobs of the store for which batches are made in one step.
  private static let storePageSize = 500

  let client: WorkizClient
  let configuration: WorkizConfiguration

  func run(_ job: StageJob, _ context: StageContext) async throws -> JSON? {
    var session = try WorkizSession(job, context, client, configuration)
    guard let discovery = try WorkizDiscovery(payload: job.payload) else {
      guard job.itemCount != nil else {
        throw StageError.permanent(
          "nothing to do: give items, or {\"discover\":true} as payload to list the account's jobs")
      }
      return nil
    }
    guard job.batch.utf8.count <= Self.maximumParentBytes else {
      throw StageError.permanent(
        "a discovering batch's id must have at most \(Self.maximumParentBytes) characters")
    }
    var place = WorkizDiscoveryPlace(job)
    while !place.isDone {
      let children =
        switch discovery.source {
        case .api: try await listed(discovery, &place, job, &session)
        case .store: try await known(discovery, &place, job, session.account, context)
        }
      session.cursor = place.cursor
      try await context.checkpoint([:], cursor: .object(place.cursor), children: children)
    }
    return .object([
      "discovered": .integer(Int64(place.listed)), "batches": .integer(Int64(place.children)),
    ])
  }

  private func listed(
    _ discovery: WorkizDiscovery, _ place: inout WorkizDiscoveryPlace, _ job: StageJob,
    _ session: inout WorkizSession
  ) async throws -> [JSON] {
    let offset = place.offset(configuration.offsetUnit)
    let page = try await page(.jobs(discovery, offset: offset), &session)
    return try place.advance(page, of: job, configuration, batchSize: discovery.batchSize)
  }

  private func known(
    _ discovery: WorkizDiscovery, _ place: inout WorkizDiscoveryPlace, _ job: StageJob,
    _ account: String, _ context: StageContext
  ) async throws -> [JSON] {
    let uuids = try await context.store.jobs(
      account: account, after: place.after, limit: Self.storePageSize)
    return place.advance(
      known: uuids, pageSize: Self.storePageSize, of: job,
      batchSize: discovery.batchSize ?? configuration.batchSize)
  }

  private func page(_ request: WorkizRequest, _ session: inout WorkizSession) async throws -> JSON {
    var reason = ""
    for _ in 1...Self.maximumTries {
      switch try await session.send(request) {
      case .answered(let envelope): return envelope
      // An account without jobs may be told so in the words for a deleted one.
      case .gone: return .object(["data": .array([]), "has_more": .bool(false)])
      case .refused(let message):
        throw StageError.permanent("account '\(session.account)': listing jobs: \(message)")
      case .failed(let message): reason = message
      case .denied, .throttled: preconditionFailure("settled by the session")
      }
    }
    throw StageError.retry("account '\(session.account)': listing jobs: \(reason)")
  }
}
