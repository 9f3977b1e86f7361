import Pipeline
import Stores

@testable import Stages

/// A job's document through annotation, validation, metadata and persistence: each takes whatever the service sent.
func checkWorkizDocument(_ input: [UInt8]) throws {
  guard let document = try checkJSON(input) else { return }
  let fields = WorkizFields.normalise(document)
  let stored = try JSON(parsing: fields.bytes)
  // What the later stages read is what came back from Redis.
  try demand(stored.bytes == fields.bytes, "normalised fields change in Redis: \(fields)")
  let uuid = document["UUID"]?.string ?? "ABC123"
  var verdict: JSON?
  switch WorkizValidation.result(stored, uuid: uuid) {
  case .done(let output): verdict = output
  case .failed(let reason): try demand(!reason.isEmpty, "failed without a reason")
  }
  var summary = WorkizSummary(document)
  for _ in 1...2 { summary.add(stored, .changed) }
  _ = WorkizSummary(try JSON(parsing: summary.json.bytes))
  let row = WorkizPersistence.row(document, stored, verdict, uuid: uuid, account: "acme")
  try demand((try? JSON(parsing: row.document)) != nil, "a row that is not JSON")
  try demand(row.contentHash.utf8.count == 32, "a hash of another length")
}
