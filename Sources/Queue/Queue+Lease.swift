public import Pipeline
internal import Redis

/// What a worker does under its leases.
extension Queue {
  /// Keeps finished items, the cursor and new batches in one step; renews the lease.
  /// - Parameter children: envelopes with ids; one whose id exists already is left alone.
  /// - Throws: `QueueError` with code `.output` when the outputs of the batch would be too large together.
  public func checkpoint(
    _ claim: Claim, _ results: [String: ItemResult], cursor: JSON? = nil, children: [JSON] = [],
    leaseMilliseconds: Int, now: Int? = nil
  ) async throws -> LeaseState {
    var arguments = Self.identify(claim.lease)
    arguments += [.integer(leaseMilliseconds), cursor == nil ? "0" : "1"]
    arguments.append(.bytes(cursor?.bytes ?? []))
    arguments.append(.integer(results.count))
    for (item, result) in results {
      switch result {
      case .done(let output):
        guard let kept = try await keep(output, of: item, under: claim.lease, now: now) else {
          return .lost
        }
        arguments += [.text(item), "done", .bytes(kept)]
      case .failed(let error):
        arguments += [.text(item), "failed", .text(error.limited(to: limits.errorBytes))]
      }
    }
    arguments.append(.integer(children.count))
    for child in children { arguments += try self.child(child, of: claim) }
    let reply = try await call("checkpoint", arguments, now: now)
    return try Self.state(reply, "batchd_checkpoint")
  }

  private func child(_ json: JSON, of claim: Claim) throws -> [RedisArgument] {
    let raw = json.bytes
    let envelope = try Envelope(parsing: raw, limits: limits)
    guard let id = envelope.id else {
      throw EnvelopeError(field: "id", reason: "missing; a child batch needs a deterministic id")
    }
    try checkHome(envelope)
    guard envelope.due == .now, envelope.size == nil, !envelope.isRerun else {
      throw EnvelopeError(
        field: "children", reason: "\(id): a child cannot have delay, at, size or rerun")
    }
    return [
      .text(id), .text(envelope.operation ?? claim.operation),
      .text(envelope.pipeline ?? claim.list.pipeline), .text(envelope.account ?? ""),
      envelope.isHighPriority ? "high" : "", .integer(envelope.items?.count ?? 0), .bytes(raw),
    ]
  }

  /// What a settlement of a finished stage led to.
  public enum Finished: Sendable {
    /// The lease goes on: run this stage next.
    case next(Claim)
    /// The next stage waits in its list.
    case queued
    case ended
    case lost
    /// Nothing was done: the outputs of the batch would be too large together.
    case full
  }

  /// One finished stage job.
  public struct Finish: Sendable {
    public let claim: Claim
    /// What is kept as the stage's own output.
    let output: [UInt8]?
    /// Whether this worker has a slot for the next stage.
    public let goesOn: Bool

    /// - Parameter output: of a size that one call may bring.
    public init(claim: Claim, output: JSON?, goesOn: Bool) {
      self.init(claim: claim, kept: output?.bytes, goesOn: goesOn)
    }

    /// - Parameter kept: as `keep` returned it.
    public init(claim: Claim, kept: [UInt8]?, goesOn: Bool) {
      self.claim = claim
      output = kept
      self.goesOn = goesOn
    }
  }

  /// Settles finished stage jobs, many in one call.
  public func finish(
    _ finished: [Finish], leaseMilliseconds: Int, now: Int? = nil
  ) async throws -> [Finished] {
    var arguments: [RedisArgument] = [.integer(leaseMilliseconds), .integer(finished.count)]
    for job in finished {
      arguments += Self.identify(job.claim.lease)
      arguments.append(job.goesOn ? "1" : "0")
      arguments.append(job.output == nil ? "0" : "1")
      arguments.append(.bytes(job.output ?? []))
    }
    arguments.append("short")
    let reply = try await call("finish", arguments, now: now)
    guard let parts = reply.array, parts.count == finished.count + 1 else {
      throw QueueError.unreadable("batchd_finish", reply)
    }
    return try zip(finished, parts.dropFirst()).map { job, answer in
      if let next = answer.array, next.count == 5,
        let stage = next[1].text.flatMap({ Stage(rawValue: $0) })
      {
        return .next(
          job.claim.next(
            stage, done: next[2].textSet, failed: next[3].textSet, cursor: next[4].bytes ?? []))
      }
      switch answer.text {
      case "queued": return .queued
      case "ended": return .ended
      case "lost": return .lost
      case "full": return .full
      case let text?:
        guard text.hasPrefix("next "), let stage = Stage(rawValue: String(text.dropFirst(5)))
        else { break }
        return .next(job.claim.next(stage, done: [], failed: [], cursor: []))
      case nil: break
      }
      throw QueueError.unreadable("batchd_finish", answer)
    }
  }

  /// A failed attempt: again after `delayMilliseconds`, or the end of the batch when that is nil.
  /// - Returns: whether the batch has ended.
  public func fail(
    _ lease: Lease, delayMilliseconds: Int?, error: String, now: Int? = nil
  ) async throws -> Bool {
    let reply = try await call(
      "fail",
      Self.identify(lease) + [
        delayMilliseconds.map { .integer($0) } ?? "",
        .text(error.limited(to: limits.errorBytes)),
      ], now: now)
    return reply.text == "ended"
  }

  /// Not now: again after `delayMilliseconds`, uncharged.
  public func snooze(
    _ lease: Lease, delayMilliseconds: Int, reason: String, now: Int? = nil
  ) async throws {
    _ = try await call(
      "snooze",
      Self.identify(lease) + [
        .integer(delayMilliseconds), .text(reason.limited(to: limits.errorBytes)),
      ], now: now)
  }

  /// Returns running work to the front of its list, uncharged.
  public func handBack(_ leases: [Lease], now: Int? = nil) async throws {
    _ = try await call(
      "hand_back", [.integer(leases.count)] + leases.flatMap(Self.identify), now: now)
  }

  /// ID RUN STAGE FENCE, as every verb under a lease begins.
  static func identify(_ lease: Lease) -> [RedisArgument] {
    [
      .text(lease.batch), .integer(lease.run), .text(lease.stage.rawValue),
      .text(lease.fence.description),
    ]
  }

  static func state(_ reply: RedisValue, _ function: String) throws -> LeaseState {
    guard let state = reply.text.flatMap(LeaseState.init(rawValue:)) else {
      throw QueueError.unreadable(function, reply)
    }
    return state
  }
}

extension String {
  /// The text cut to at most `bytes` bytes of UTF-8, at the end of a character.
  func limited(to bytes: Int) -> String {
    guard utf8.count > bytes else { return self }
    return String(decoding: utf8.prefix(bytes - 3), as: UTF8.self).trimmingReplacement + "…"
  }

  /// Without the replacement characters that a cut in the middle of a character leaves at the end.
  private var trimmingReplacement: String {
    var text = self
    while text.last == "\u{FFFD}" { text.removeLast() }
    return text
  }
}
