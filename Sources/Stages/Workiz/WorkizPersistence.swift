import Pipeline
import Stores
import Worker

/// Writes the documents, whole as sent, plus one member `batchd` with the normalised fields.
struct WorkizPersistence: StageHandler {
  func run(_ job: StageJob, _ context: StageContext) async throws -> JSON? {
    guard !job.items.isEmpty else { return nil }
    guard let account = job.account else {
      throw StageError.permanent(
        "pipeline '\(job.pipeline)' needs an account: enqueue with \"account\":NAME")
    }
    let documents = try await context.outputs(of: .extraction)
    let fields = try await context.outputs(of: .annotation)
    let verdicts = try await context.outputs(of: .validation)
    var written = 0
    for items in job.items.chunks() {
      var rows: [JobDocument] = []
      var results: [String: ItemResult] = [:]
      for item in items {
        guard let document = documents[item.id] else {
          results[item.id] = .missing(.extraction)
          continue
        }
        rows.append(
          Self.row(document, fields[item.id], verdicts[item.id], uuid: item.id, account: account))
        results[item.id] = .done(.null)
      }
      written += try await context.store.upsert(rows, for: job)
      try await context.checkpoint(results)
    }
    return .object(["written": .integer(Int64(written))])
  }

  /// The row of one job. Its hash is over what the service sent: a new version of batchd that normalises
  /// otherwise does not make every job look changed.
  static func row(
    _ document: JSON, _ fields: JSON?, _ verdict: JSON?, uuid: String, account: String
  ) -> JobDocument {
    var members = document.object ?? [:]
    var added = fields?.object ?? [:]
    added["problems"] = nil
    added["warnings"] = verdict?["warnings"] ?? .array([])
    members["batchd"] = .object(added)
    return JobDocument(
      uuid: uuid, account: account, document: JSON.object(members).bytes,
      contentHash: ContentHash.of(document))
  }
}
