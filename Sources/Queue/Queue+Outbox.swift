internal import Logging
public import Pipeline
internal import Redis

/// From `batchd:ended` into SQL.
extension Queue {
  /// An entry of the outbox: one run, or several that ended alike.
  public struct Ended: Sendable {
    /// STREAM_ID ID RUN, as batchd_archive wants them.
    let name: [RedisArgument]
    public let batches: [EndedBatch]
  }

  /// Ended runs that the store has not acknowledged yet, for this worker to write: entries of `count` runs or some more.
  public func outbox(count: Int, now: Int? = nil) async throws -> [Ended] {
    let reply = try await call("outbox", [.text(worker), .integer(count)], now: now)
    var ended: [Ended] = []
    for value in reply.array ?? [] {
      guard let parts = value.array, parts.count == 3, let entry = parts[0].text else {
        throw QueueError.unreadable("batchd_outbox", value)
      }
      let fields = parts[1].textPairs
      let name: [RedisArgument] =
        fields["runs"].map { [.text(entry), .text($0), "runs"] }
        ?? [.text(entry), .text(fields["batch"] ?? ""), .text(fields["run"] ?? "")]
      let batches = EndedBatch.read(fields, errors: parts[2].textPairs)
      if batches.isEmpty {
        // Only a hand can have written it: kept, it would come back every minute.
        logger.warning(
          "dropping an entry of the outbox that is no ended run",
          metadata: ["key": "\(keys.ended)", "entry": "\("\(value)".limited(to: 1_000))"])
        _ = try await call("archive", [0, 0, 1] + name, now: now)
      } else {
        ended.append(Ended(name: name, batches: batches))
      }
    }
    return ended
  }

  /// The store holds these runs: acknowledges them and starts their retention.
  public func archive(_ ended: [Ended], now: Int? = nil) async throws {
    _ = try await call(
      "archive",
      [
        .integer(limits.retentionSeconds * 1000), .integer(limits.failedRetentionSeconds * 1000),
        .integer(ended.count),
      ] + ended.flatMap(\.name), now: now)
  }
}

extension EndedBatch {
  /// The runs of an entry as Functions/runs.lua writes them; none when something else wrote it.
  fileprivate static func read(
    _ fields: [String: String], errors: [String: String]
  ) -> [EndedBatch] {
    guard let runs = fields["runs"] else {
      return EndedBatch(fields: fields, errors: errors).map { [$0] } ?? []
    }
    guard let status = fields["status"], let operation = fields["operation"],
      let pipeline = fields["pipeline"], let stage = fields["stage"].flatMap(Stage.init(rawValue:)),
      let finishedAt = fields["finished_at"].flatMap(Timestamp.init(rfc3339:))
    else { return [] }
    return runs.split(separator: "\n").compactMap { line in
      let words = line.split(separator: " ")
      guard words.count == 4, let run = Int(words[1]), let admitted = Int64(words[2]),
        let started = Int64(words[3])
      else { return nil }
      return EndedBatch(
        batch: String(words[0]), run: run, status: status, operation: operation, account: nil,
        pipeline: pipeline, stage: stage, number: 0, itemsTotal: 0, itemsDone: 0, itemsFailed: 0,
        retryCount: 0, error: nil, itemErrors: [:], admittedAt: Timestamp(milliseconds: admitted),
        startedAt: Timestamp(milliseconds: started), finishedAt: finishedAt)
    }
  }

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
