internal import Logging
public import Pipeline
internal import Redis

/// From `batchd:ended` into SQL.
extension Queue {
  /// An ended run with its place in the outbox.
  public struct Ended: Sendable {
    let entry: String
    public let batch: EndedBatch
  }

  /// Ended runs that the store has not acknowledged yet, for this worker to write.
  public func outbox(count: Int, now: Int? = nil) async throws -> [Ended] {
    let reply = try await call("outbox", [.text(worker), .integer(count)], now: now)
    var ended: [Ended] = []
    for value in reply.array ?? [] {
      guard let parts = value.array, parts.count == 3, let entry = parts[0].text else {
        throw QueueError.unreadable("batchd_outbox", value)
      }
      if let batch = EndedBatch(fields: parts[1].textPairs, errors: parts[2].textPairs) {
        ended.append(Ended(entry: entry, batch: batch))
      } else {
        // Only a hand can have written it: kept, it would come back every minute.
        logger.error(
          "dropping an entry of \(keys.ended) that is no ended run", metadata: ["entry": "\(value)"]
        )
        let fields = parts[1].fields
        _ = try await call(
          "archive",
          [0, 0, 1, .text(entry), .text(fields["batch"] ?? ""), .text(fields["run"] ?? "")],
          now: now)
      }
    }
    return ended
  }

  /// The store holds these runs: acknowledges them and starts their retention.
  public func archive(_ ended: [Ended], now: Int? = nil) async throws {
    var arguments: [RedisArgument] = [
      .integer(limits.retentionSeconds * 1000), .integer(limits.failedRetentionSeconds * 1000),
      .integer(ended.count),
    ]
    for run in ended {
      arguments += [.text(run.entry), .text(run.batch.batch), .integer(run.batch.run)]
    }
    _ = try await call("archive", arguments, now: now)
  }
}

extension EndedBatch {
  fileprivate init?(fields: [String: String], errors: [String: String]) {
    func text(_ name: String) -> String? { fields[name].flatMap { $0.isEmpty ? nil : $0 } }
    func number(_ name: String) -> Int { fields[name].flatMap { Int($0) } ?? 0 }
    func time(_ name: String) -> Timestamp? { text(name).flatMap { Timestamp(rfc3339: $0) } }
    guard let batch = text("batch"), let status = text("status"), let operation = text("operation"),
      let pipeline = text("pipeline"), let stage = text("stage").flatMap({ Stage(rawValue: $0) }),
      let admittedAt = time("admitted_at"), let finishedAt = time("finished_at")
    else { return nil }
    self.init(
      batch: batch, run: number("run"), status: status, operation: operation,
      account: text("account"), pipeline: pipeline, stage: stage, number: number("number"),
      itemsTotal: number("items_total"), itemsDone: number("items_done"),
      itemsFailed: number("items_failed"), retryCount: number("retry_count"), error: text("error"),
      itemErrors: errors, admittedAt: admittedAt, startedAt: time("started_at"),
      finishedAt: finishedAt)
  }
}

extension RedisValue {
  /// A flat array of fields and values, as a dictionary.
  fileprivate var textPairs: [String: String] {
    let flat = array ?? []
    return stride(from: 0, to: flat.count - 1, by: 2).reduce(into: [:]) { pairs, index in
      if let field = flat[index].text { pairs[field] = flat[index + 1].text ?? "" }
    }
  }
}
