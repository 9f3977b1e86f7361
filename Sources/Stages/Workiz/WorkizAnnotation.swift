import Pipeline
import Worker

/// Normalises each document. An item's output is its normalised fields.
struct WorkizAnnotation: StageHandler {
  func run(_ job: StageJob, _ context: StageContext) async throws -> JSON? {
    guard !job.items.isEmpty else { return nil }
    let documents = try await context.outputs(of: .extraction)
    for items in job.items.chunks() {
      var results: [String: ItemResult] = [:]
      for item in items {
        results[item.id] =
          documents[item.id].map { .done(WorkizFields.normalise($0)) } ?? .missing(.extraction)
      }
      try await context.checkpoint(results)
    }
    return nil
  }
}
