internal import Pipeline
public import Redis

/// From `batchd:enqueue` to batches.
extension Queue {
  /// What became of an entry.
  public enum Admission: String, Sendable {
    case admitted
    /// The id was seen within retention: ignored, counted, an event.
    case duplicate
    case rejected
    /// Another worker took the entry over; nothing was done here.
    case gone
  }

  /// Moves up to `count` entries into this worker's intake and returns what the intake holds, oldest first.
  /// - Throws: `RedisError` with `OOM` when Redis has no memory for more batches; admission alone needs it.
  public func intake(count: Int, now: Int? = nil) async throws -> [[UInt8]] {
    let reply = try await call(
      "intake", [.text(worker), .integer(count), .integer(limits.envelopeBytes)], now: now,
      waitsForMemory: false)
    return (reply.array ?? []).compactMap(\.bytes)
  }

  /// Checks each entry of the intake and admits or rejects it.
  /// - Parameter defaultPipeline: for an envelope that names none.
  public func admit(
    _ entries: [[UInt8]], defaultPipeline: String?, now: Int? = nil
  ) async throws -> [Admission] {
    guard !entries.isEmpty else { return [] }
    var arguments: [RedisArgument] = [.text(worker), .integer(entries.count)]
    for entry in entries {
      arguments.append(.bytes(entry))
      do {
        let envelope = try Envelope(parsing: entry, limits: limits)
        try checkDue(envelope, now: now)
        arguments += try Self.admission(of: envelope, defaultPipeline: defaultPipeline)
      } catch let error as EnvelopeError {
        arguments += ["reject", .text("\(error)"), .text(error.id ?? "")]
      }
    }
    let reply = try await call("admit", arguments, now: now, waitsForMemory: false)
    return (reply.array ?? []).compactMap { $0.text.flatMap(Admission.init(rawValue:)) }
  }

  /// By Redis's clock, for the worker's own may be wrong by hours.
  private func checkDue(_ envelope: Envelope, now: Int?) throws {
    guard case .at(let moment) = envelope.due, let now = now ?? adoption.clock?.now,
      moment.milliseconds > Int64(now + limits.delaySeconds * 1000)
    else { return }
    throw EnvelopeError(
      field: "at",
      reason: "must be at most \(limits.delaySeconds) seconds from now (limits.delay_seconds)",
      id: envelope.id)
  }

  private static func admission(
    of envelope: Envelope, defaultPipeline: String?
  ) throws -> [RedisArgument] {
    guard let pipeline = envelope.pipeline ?? defaultPipeline else {
      throw EnvelopeError(
        field: "pipeline", reason: "missing, and there is no default_pipeline", id: envelope.id)
    }
    let id = envelope.id ?? "\(envelope.operation?.prefix(100) ?? "")-\(makeID())"
    let due =
      switch envelope.due {
      case .now: ""
      case .after(let milliseconds): "+\(milliseconds)"
      case .at(let moment): "\(moment.milliseconds)"
      }
    return [
      "admit", .text(id), .text(envelope.operation ?? id), .text(pipeline),
      .text(envelope.account ?? ""), envelope.isHighPriority ? "high" : "", .text(due),
      envelope.size.map { .integer($0) } ?? "", envelope.isRerun ? "1" : "",
      .integer(envelope.items?.count ?? 0),
    ]
  }

  /// 16 hexadecimal digits at random.
  static func makeID() -> String {
    let digits = String(UInt64.random(in: .min ... .max), radix: 16)
    return String(repeating: "0", count: 16 - digits.count) + digits
  }

  /// Waits until an entry arrived, up to `milliseconds`, on a connection of its own. The entry goes straight into the
  /// intake and never travels: it may be far over the limit.
  /// - Throws: `QueueError` with `.refused` when Redis does not wait: nobody hears what BLMOVE itself answers.
  public func awaitEntry(on connection: RedisConnection, milliseconds: Int) async throws {
    let sent = ContinuousClock.now
    let intake = RedisArgument.text(keys.intake(worker))
    let replies = try await connection.callAll(
      [
        ["CLIENT", "REPLY", "SKIP"],
        [
          "BLMOVE", .text(keys.enqueue), intake, "RIGHT", "LEFT",
          .text(Self.seconds(milliseconds)),
        ],
        ["LLEN", intake],
      ], timeoutMilliseconds: milliseconds + Self.graceMilliseconds, replies: 1)
    if case .error(let error)? = replies.first { throw error }
    let isEarly = ContinuousClock.now - sent < .milliseconds(milliseconds / 2)
    if replies.first?.integer == 0, isEarly {
      throw QueueError(
        .refused,
        "Redis does not wait for \(keys.enqueue): may this user call BLMOVE, and is it a list?")
    }
  }

  static func seconds(_ milliseconds: Int) -> String {
    "\(milliseconds / 1000).\(String(1000 + milliseconds % 1000).dropFirst())"
  }

  /// How much longer than asked a blocked call may take before its connection counts as dead.
  static let graceMilliseconds = 5_000
}
