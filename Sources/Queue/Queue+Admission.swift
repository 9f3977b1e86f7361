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
      "intake", intakeArguments(count), now: now, waitsForMemory: false)
    return (reply.array ?? []).compactMap(\.bytes)
  }

  private func intakeArguments(_ count: Int) -> [RedisArgument] {
    [.text(worker), .integer(count), .integer(limits.envelopeBytes)]
  }

  /// Entries of the intake, checked: each is to be admitted or rejected.
  public struct CheckedEntries: Sendable {
    fileprivate var arguments: [RedisArgument]
    /// How many may begin at once, by the pipeline that each names.
    public fileprivate(set) var startable: [String: Int] = [:]
  }

  /// Checks each entry of the intake.
  /// - Parameter defaultPipeline: for an envelope that names none.
  public func check(
    _ entries: [[UInt8]], defaultPipeline: String?, now: Int? = nil
  ) throws -> CheckedEntries {
    var checked = CheckedEntries(arguments: [.text(worker), .integer(entries.count)])
    for entry in entries {
      checked.arguments.append(.bytes(entry))
      do {
        let envelope = try Envelope(parsing: entry, limits: limits)
        try checkDue(envelope, now: now)
        try checkHome(envelope)
        let pipeline = try Self.pipeline(of: envelope, defaultPipeline)
        checked.arguments += Self.admission(of: envelope, pipeline)
        if envelope.due == .now { checked.startable[pipeline, default: 0] += 1 }
      } catch let error as EnvelopeError {
        checked.arguments += ["reject", .text("\(error)"), .text(error.id ?? "")]
      }
    }
    return checked
  }

  /// Admits or rejects each entry of the intake.
  public func admit(_ checked: CheckedEntries, now: Int? = nil) async throws -> [Admission] {
    let reply = try await call("admit", checked.arguments, now: now, waitsForMemory: false)
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

  /// Two gates for one account would let twice as many requests through.
  func checkHome(_ envelope: Envelope) throws {
    guard let account = envelope.account else { return }
    let home = prefixes.home(of: account)
    guard home != keys.prefix else { return }
    throw EnvelopeError(
      field: "account",
      reason: "\(account) has its batches under the prefix \(home): LPUSH \(home):enqueue, or "
        + "batchd enqueue, which knows the way", id: envelope.id)
  }

  private static func pipeline(
    of envelope: Envelope, _ defaultPipeline: String?
  ) throws -> String {
    if let pipeline = envelope.pipeline ?? defaultPipeline { return pipeline }
    throw EnvelopeError(
      field: "pipeline", reason: "missing, and there is no default_pipeline: name one",
      id: envelope.id)
  }

  private static func admission(of envelope: Envelope, _ pipeline: String) -> [RedisArgument] {
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

  /// Waits until an entry arrived, up to `milliseconds`, on a connection of its own. It goes straight into the intake and
  /// never travels as it is: it may be far over the limit.
  /// - Returns: what the intake holds then, up to `count`, in the same answer. None when `intake` has to say why.
  /// - Throws: `QueueError` with `.refused` when Redis does not wait: nobody hears what BLMOVE itself answers.
  public func awaitEntries(
    count: Int, on connection: RedisConnection, milliseconds: Int
  ) async throws -> [[UInt8]] {
    let sent = ContinuousClock.now
    let list = RedisArgument.text(keys.intake(worker))
    let replies = try await connection.callAll(
      [
        ["CLIENT", "REPLY", "SKIP"],
        [
          "BLMOVE", .text(keys.enqueue), list, "RIGHT", "LEFT", .text(Self.seconds(milliseconds)),
        ],
        ["LLEN", list],
        // What it would expect of Redis's clock is of the moment of sending; admit's own call says that anew.
        functionCall("intake", adoption.stamp(ownsClock: true).text, intakeArguments(count)),
      ], timeoutMilliseconds: milliseconds + Self.graceMilliseconds, replies: 2)
    if case .error(let error)? = replies.first { throw error }
    let isEarly = ContinuousClock.now - sent < .milliseconds(milliseconds / 2)
    if replies.first?.integer == 0, isEarly {
      throw QueueError(
        .refused,
        "Redis does not wait for \(keys.enqueue): may this user call BLMOVE, and is it a list?")
    }
    return (replies.last?.array ?? []).compactMap(\.bytes)
  }

  static func seconds(_ milliseconds: Int) -> String {
    "\(milliseconds / 1000).\(String(1000 + milliseconds % 1000).dropFirst())"
  }

  /// How much longer than asked a blocked call may take before its connection counts as dead.
  static let graceMilliseconds = 5_000
}
