import Redis

/// Carries out the model's actions with the functions of the library on a real Redis. Time stands still: a lease
/// expires, or a batch is due, because its score is set to the past before the tick.
struct RealProtocol {
  private static let now = 1_000_000_000_000
  static let stages = ["setup", "extraction"]

  let connection: RedisConnection
  private var epoch = 1
  /// Numbers what must be unique: raw entries, requests, items.
  private var serial = 0
  /// The life of each worker.
  private var boots = [0, 0]
  /// By the model's fence, which counts as Redis's counter does.
  private var leases: [UInt8: (fence: String, run: String)] = [:]

  /// Starts from an empty Redis that holds the library, with two workers registered.
  init(on connection: RedisConnection) async throws {
    self.connection = connection
    _ = try await connection.call(["FLUSHALL"])
    try await fcall("adopt", [0, ""])
    for worker in 0..<2 { try await register(worker) }
  }

  /// Does the action and compares the answer with the one of the model, which is in the state before it.
  /// Returns what differs.
  mutating func perform(_ action: Action, before model: ReferenceModel) async throws -> String? {
    serial += 1
    switch action {
    case .admit(let id, let later):
      return try await admit(id, model, due: later ? "+1000000000" : "", rerun: "")
    case .again(let id, let fromFirst):
      if fromFirst { return try await admit(id, model, due: "", rerun: "1") }
      try await fcall("retry", [name(id)])
    case .claim(let worker, let stage, let source, let most):
      return try await claim(worker, stage, source, most, model)
    case .checkpoint(let worker, let id), .renew(let worker, let id),
      .finish(let worker, let id, _),
      .finishUnheard(let worker, let id, _), .hearAgain(let worker, let id),
      .hearLost(let worker, let id), .fail(let worker, let id, _), .snooze(let worker, let id),
      .handBack(let worker, let id):
      return try await settle(action, worker, id, model)
    case .expire(let id): try await tick(after: ["ZADD", "b:leases", 0, name(id)])
    case .due(let id): try await tick(after: ["ZADD", "b:delayed", 0, name(id)])
    case .bury(let worker):
      try await tick(after: ["ZADD", "b:workers", .integer(Self.now - 60_000), self.worker(worker)])
    case .sweep: try await tick(after: ["PING"])
    case .cancel(let id): try await fcall("cancel", [name(id)])
    case .pauseStage(let stage): try await fcall("pause", [pause(stage)])
    case .resumeStage(let stage): try await fcall("resume", [pause(stage)])
    case .pauseAccount: try await fcall("pause", ["account:A"])
    case .resumeAccount: try await fcall("resume", ["account:A"])
    case .crash: break
    case .restart(let worker):
      boots[worker] += 1
      try await register(worker)
      try await fcall("recover", [.integer(epoch), self.worker(worker), 0, 100, maxCrashes])
    case .fetch(let worker, let stage):
      _ = try await connection.call([
        "LMOVE", .text("b:queue:w:\(Self.stages[stage])"),
        .text("b:intake:w\(worker + 1):w:\(Self.stages[stage])"), "RIGHT", "LEFT",
      ])
    case .adopt:
      try await fcall("adopt", [0, .integer(epoch)])
      epoch += 1
      // Otherwise tick re-queues all leases of the old epoch at once; the model one after the other.
      _ = try await connection.call(["HSET", "b:meta", "reaped_epoch", .integer(epoch)])
    }
    return nil
  }

  // MARK: verbs

  private func register(_ worker: Int) async throws {
    try await fcall(
      "register",
      [
        .integer(epoch), self.worker(worker), .integer(boots[worker]), "host", 1, "version",
        "store", 2, "w:setup w:extraction", 1, "w", "setup,extraction", "extraction", 1,
        "quiet_ms", 3_600_000,
      ])
  }

  private func admit(
    _ id: Int, _ model: ReferenceModel, due: String, rerun: String
  ) async throws -> String? {
    let raw = RedisArgument.text("raw\(serial)")
    _ = try await connection.call(["LPUSH", "b:enqueue", raw])
    try await fcall("intake", [.integer(epoch), "w1", 1, 1000])
    let reply = try await fcall(
      "admit",
      [
        .integer(epoch), "w1", 1, raw, "admit", name(id), "op", "w", model.hasLane(id) ? "A" : "",
        "", .text(due), "", .text(rerun), 0,
      ])
    return difference("admitted", reply.array?.first?.text)
  }

  private mutating func claim(
    _ worker: Int, _ stage: UInt8, _ source: ModelPlace, _ most: Int, _ model: ReferenceModel
  ) async throws -> String? {
    let reply = try await fcall(
      "claim",
      [
        .integer(epoch), self.worker(worker), .text("request\(serial)"), "w",
        .text(Self.stages[Int(stage)]), source == .suspects ? "suspects" : "queue", .integer(most),
        15_000,
      ])
    var ids: [String] = []
    for (index, batch) in (reply.array ?? []).dropFirst(2).compactMap(\.array).enumerated() {
      ids.append(batch[0].text ?? "")
      leases[model.fenceCounter + UInt8(index) + 1] = (batch[3].text ?? "", batch[1].text ?? "")
    }
    var after = model
    let expected = after.claim(worker, stage: stage, source: source, most: most).ids
    return difference(expected.map { "b\($0)" }.joined(separator: " "), ids.joined(separator: " "))
  }

  /// What a worker does with a lease, held or lost.
  private func settle(
    _ action: Action, _ worker: Int, _ id: Int, _ model: ReferenceModel
  ) async throws -> String? {
    let token = model.workers[worker].tokens[id - 1]
    guard let (fence, run) = leases[token.fence] else { return "no fence \(token.fence)" }
    let stage = RedisArgument.text(Self.stages[Int(token.stage)])
    let job: [RedisArgument] = [name(id), .text(run), stage, .text(fence)]
    let first: [RedisArgument] = [.integer(epoch)]
    var after = model
    switch action {
    case .checkpoint:
      let reply = try await fcall(
        "checkpoint", first + job + [15_000, 0, "", 1, .text("item\(serial)"), "done", "x", 0])
      return difference(text(after.checkpoint(token, of: id)), reply.text)
    case .renew:
      return difference(text(after.renew(token, of: id)), try await renew(worker, id, fence))
    case .finish(_, _, let goOn), .finishUnheard(_, _, let goOn):
      let answer = after.finish(token, of: id, goOn: goOn)
      return difference(text(answer), try await finish(job, goOn: goOn))
    case .hearAgain:
      let answer = after.finish(token, of: id, goOn: true)
      return difference(text(answer), try await finish(job, goOn: true))
    case .hearLost:
      let reply = try await fcall("snooze", first + job + [1000, "reason"])
      let renewal = try await renew(worker, id, fence)
      return difference("lost", reply.text) ?? difference("lost", renewal)
    case .fail(_, _, let forGood):
      let reply = try await fcall("fail", first + job + [forGood ? "" : 1_000_000_000, "error"])
      return difference(text(after.fail(token, of: id, forGood: forGood)), reply.text)
    case .snooze:
      let reply = try await fcall("snooze", first + job + [1_000_000_000, "reason"])
      return difference(text(after.snooze(token, of: id)), reply.text)
    default:
      let reply = try await fcall("hand_back", first + [1] + job)
      return difference(text(after.handBack(token, of: id)), reply.array?.first?.text)
    }
  }

  private func renew(_ worker: Int, _ id: Int, _ fence: String) async throws -> String? {
    let reply = try await fcall(
      "renew",
      [
        .integer(epoch), self.worker(worker), .integer(boots[worker]), 15_000, 1, 1, name(id),
        .text(fence), 0, 0,
      ])
    return reply.array?[4].array?.first?.text
  }

  private func finish(_ job: [RedisArgument], goOn: Bool) async throws -> String? {
    let reply = try await fcall(
      "finish", [.integer(epoch), 15_000, 1] + job + [goOn ? 1 : 0, 0, ""])
    let answer = reply.array?.last
    return answer?.array?.first?.text ?? answer?.text
  }

  private func tick(after command: [RedisArgument]) async throws {
    _ = try await connection.call(command)
    try await fcall("tick", [.integer(epoch), "", "", maxCrashes])
  }

  // MARK: words

  @discardableResult
  private func fcall(_ function: String, _ arguments: [RedisArgument]) async throws -> RedisValue {
    try await connection.call(
      ["FCALL", .text("batchd_\(function)"), 1, "b"] + arguments + [.integer(Self.now)])
  }

  private func name(_ id: Int) -> RedisArgument { .text("b\(id)") }

  private func worker(_ worker: Int) -> RedisArgument { .text("w\(worker + 1)") }

  private func pause(_ stage: UInt8) -> RedisArgument {
    .text("stage:w:\(Self.stages[Int(stage)])")
  }

  private var maxCrashes: RedisArgument { .integer(Int(ReferenceModel.maxCrashes)) }

  private func difference(_ expected: String, _ answer: String?) -> String? {
    // A renewal and a checkpoint call it cancelled, a settlement ended.
    let answer = answer == "cancelled" ? "ended" : answer
    return answer == expected ? nil : "the model answers \(expected), Redis \(answer ?? "nothing")"
  }

  private func text(_ answer: ModelAnswer) -> String {
    answer == .handedBack ? "handed_back" : "\(answer)"
  }
}
