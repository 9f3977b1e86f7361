import Pipeline
import Stores
import Worker

/// Hashes each document and compares it with the store. An item's output is its hash and whether the
/// job is new, changed or unchanged; the stage's output is the summary.
struct WorkizMetadata: StageHandler {
  func run(_ job: StageJob, _ context: StageContext) async throws -> JSON? {
    var summary = WorkizSummary(job.cursor)
    guard !job.items.isEmpty else { return summary.json }
    guard let account = job.account else {
      throw StageError.permanent(
        "pipeline '\(job.pipeline)' needs an account: enqueue with \"account\":NAME")
    }
    let documents = try await context.outputs(of: .extraction)
    let fields = try await context.outputs(of: .annotation)
    for items in job.items.chunks() {
      let known = try await context.store.contentHashes(account: account, uuids: items.map(\.id))
      var results: [String: ItemResult] = [:]
      for item in items {
        guard let document = documents[item.id] else {
          results[item.id] = .missing(.extraction)
          continue
        }
        let hash = ContentHash.of(document)
        let change = WorkizSummary.Change(hash: hash, known: known[item.id])
        summary.add(fields[item.id] ?? .null, change)
        results[item.id] = .done(
          .object(["hash": .string(hash), "change": .string(change.rawValue)]))
      }
      // Items and sums in one step: a later attempt goes on adding to what these items gave.
      try await context.checkpoint(results, cursor: summary.json)
    }
    return summary.json
  }
}
