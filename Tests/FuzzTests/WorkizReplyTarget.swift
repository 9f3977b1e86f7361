import Pipeline

@testable import Stages
@testable import Worker

private let token = "api_TOKEN_0123456789"

/// Answers of the service: a status byte, a line for `Retry-After`, then the body. A hostile one cannot stop the worker,
/// shut the gate for longer than an hour, or put the token into a message.
func checkWorkizReply(_ input: [UInt8]) throws {
  let statuses = [200, 204, 301, 400, 401, 404, 408, 425, 429, 500, 503, 200, 200, 200, 200, 200]
  guard let first = input.first else { return }
  let lines = input.dropFirst().split(separator: 10, maxSplits: 1, omittingEmptySubsequences: false)
  let header = lines[0].isEmpty ? nil : String(decoding: lines[0], as: UTF8.self)
  let outcome = WorkizOutcome(
    status: statuses[Int(first) % statuses.count], retryAfter: header,
    body: lines.count > 1 ? Array(lines[1]) : [], token: token)
  switch outcome {
  case .answered(let envelope):
    _ = WorkizExtraction.document(in: envelope, uuid: "ABC123")
    try checkDiscovery(envelope)
  case .throttled(let milliseconds):
    try demand((0...3_600_000).contains(milliseconds ?? 0), "shut for \(milliseconds ?? 0) ms")
  case .gone(let text), .refused(let text), .denied(let text), .failed(let text):
    try demand(!text.contains(token), "\(text) shows the token")
    try demand(text.utf8.count < 4_096, "a message of \(text.utf8.count) bytes")
  }
}

/// Two pages of a listing, the second with a cursor that came back from Redis.
private func checkDiscovery(_ envelope: JSON) throws {
  let configuration = WorkizConfiguration { _ in token }
  var place = WorkizDiscoveryPlace(job(cursor: envelope["cursor"]))
  do {
    let children = try place.advance(envelope, of: job(cursor: nil), configuration)
    for child in children { _ = try Envelope(parsing: child.bytes, limits: .none) }
    let cursor = JSON.object(place.cursor)
    let again = WorkizDiscoveryPlace(job(cursor: try JSON(parsing: cursor.bytes)))
    try demand(again == place, "\(place) comes back as \(again)")
    _ = try place.advance(envelope, of: job(cursor: cursor), configuration)
  } catch is StageError {}
}

private func job(cursor: JSON?) -> StageJob {
  StageJob(
    batch: "b", operation: "o", account: "acme", pipeline: "workiz", stage: .setup, run: 1,
    attempt: 1, number: 1, fence: Fence(epoch: 1, counter: 1), items: [], itemCount: nil,
    payload: nil, cursor: cursor)
}
