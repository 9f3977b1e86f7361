import Pipeline
import Worker

/// Fetches each item's job, checkpointing it as it arrives. An item's output is the document as sent.
struct WorkizExtraction: StageHandler {
  let client: WorkizClient
  let configuration: WorkizConfiguration

  func run(_ job: StageJob, _ context: StageContext) async throws -> JSON? {
    guard !job.items.isEmpty else { return nil }
    var session = try WorkizSession(job, context, client, configuration)
    var queue = WorkizQueue(job.items)
    while let item = queue.next() {
      switch try await fetch(item, &session) {
      case .settled(let result):
        queue.settled()
        try await context.checkpoint([item.id: result], cursor: .object(session.cursor))
      case .again(let message): try queue.failed(item, message)
      }
    }
    let leftovers = try queue.leftovers(of: job)
    if !leftovers.isEmpty { try await context.checkpoint(leftovers) }
    return nil
  }

  private enum Fetched {
    case settled(ItemResult)
    case again(String)
  }

  private func fetch(_ item: Item, _ session: inout WorkizSession) async throws -> Fetched {
    guard WorkizRequest.isUUID(item.id) else {
      return .settled(
        .failed("'\(item.id)' is not a Workiz job UUID (six characters A-Z, 0-9): not asked for"))
    }
    switch try await session.send(.job(uuid: item.id)) {
    case .answered(let envelope): return .settled(Self.document(in: envelope, uuid: item.id))
    case .gone(let message), .refused(let message): return .settled(.failed(message))
    case .failed(let message): return .again(message)
    case .denied, .throttled: preconditionFailure("settled by the session")
    }
  }

  /// `data` is an array of one: its element is the document, if it is the one asked for.
  static func document(in envelope: JSON, uuid: String) -> ItemResult {
    guard let data = envelope["data"]?.array else {
      return .failed("Workiz answered job \(uuid) without an array 'data'")
    }
    guard let document = data.first else { return .failed("gone: Workiz answers with no data") }
    guard document["UUID"]?.string == uuid else {
      let other = document["UUID"]?.string.map { "job \($0.prefix(32))" } ?? "no UUID"
      return .failed("asked for job \(uuid), Workiz answered with \(other)")
    }
    return .done(document)
  }
}
