internal import Logging
public import Pipeline
internal import Redis

/// A worker's own life: registration, beat, tick, outbox.
extension Queue {
  /// A pipeline as a worker registers it.
  public struct Registration: Sendable {
    let name: String
    let stages: [Stage]
    let counts: Stage

    public init(name: String, stages: [Stage], counts: Stage) {
      self.name = name
      self.stages = stages
      self.counts = counts
    }
  }

  /// A living worker that was given other stages for a pipeline than this one.
  public struct StageDifference: Sendable, Hashable {
    public let pipeline: String
    /// This worker's, such as `setup,extraction`: new batches go through them from now on.
    public let stages: String
    public let otherWorker: String
    public let otherStages: String
  }

  /// Says who this worker is; returns what its earlier life left in its intakes to the lists.
  /// - Parameter quietMilliseconds: longer than any beat: when no worker at all was heard for this long, Redis was away.
  /// - Returns: the pipelines that a living worker serves with other stages, each with one such worker.
  /// - Throws: `QueueError` with `.twin` or `.store`.
  @discardableResult
  public func register(
    boot: String, host: String, pid: Int, version: String, store: String, slots: Int,
    quietMilliseconds: Int, pipelines: [Registration], now: Int? = nil
  ) async throws -> [StageDifference] {
    let lists = pipelines.flatMap { pipeline in
      pipeline.stages.map { StageList(pipeline: pipeline.name, stage: $0).description }
    }
    var arguments: [RedisArgument] = [
      .text(worker), .text(boot), .text(host), .integer(pid), .text(version), .text(store),
      .integer(slots), .text(lists.joined(separator: " ")), .integer(pipelines.count),
    ]
    for pipeline in pipelines {
      arguments += [
        .text(pipeline.name), .text(pipeline.stages.map(\.rawValue).joined(separator: ",")),
        .text(pipeline.counts.rawValue),
      ]
    }
    let kept: [(RedisArgument, Int)] = [
      ("event_count", limits.eventCount), ("rejected_count", limits.rejectedCount),
      ("rejected_bytes", limits.rejectedBytes), ("batch_output_bytes", limits.batchOutputBytes),
      ("quiet_ms", quietMilliseconds),
      ("retention_ms", limits.retentionSeconds * 1000),
      ("failed_retention_ms", limits.failedRetentionSeconds * 1000),
    ]
    arguments.append(.integer(kept.count))
    for (name, value) in kept { arguments += [name, .integer(value)] }
    // A library of the revision before says OK.
    let words = try await call("register", arguments, now: now).array?.compactMap(\.text) ?? []
    return stride(from: 0, to: words.count - 3, by: 4).map { at in
      StageDifference(
        pipeline: words[at], stages: words[at + 1], otherWorker: words[at + 2],
        otherStages: words[at + 3])
    }
  }

  /// Takes back the leases of this worker's earlier life, which ended by a crash.
  /// - Returns: how many.
  public func recover(maxCrashes: Int, now: Int? = nil) async throws -> Int {
    let step = 500
    var recovered = 0
    var from = try await read(["ZCARD", .text(keys.leases)]).integer ?? 0
    while from > 0 {
      from -= step
      let first = max(from, 0)
      let reply = try await call(
        "recover",
        [.text(worker), .integer(first), .integer(from + step - first), .integer(maxCrashes)],
        now: now)
      recovered += reply.integer ?? 0
    }
    return recovered
  }

  /// When this worker's name was last heard, in Unix milliseconds by Redis's clock; nil for never.
  public func lastBeat() async throws -> Double? {
    try await read(["ZSCORE", .text(keys.workers), .text(worker)]).text.flatMap {
      Double($0)
    }
  }

  /// Takes the worker's name off the list and empties its intakes.
  public func leave(now: Int? = nil) async throws {
    _ = try await call("leave", [.text(worker)], now: now)
  }

  /// What a beat learns.
  public struct Beat: Sendable {
    /// Parallel to the leases that were renewed.
    public let leases: [LeaseState]
    /// Parallel to the lists that are served: waiting in the list or this worker's intake; suspects.
    public let backlogs: [(waiting: Int, suspects: Int)]
    /// Entries waiting to be admitted.
    public let enqueued: Int
    /// Ended runs that the store has not acknowledged.
    public let outbox: Int
    public let paused: Set<String>
    /// Redis's time of the next thing for tick, in Unix milliseconds; nil for none.
    public let nextDeadline: Int?
    /// Broken records that anybody met since the prefix began; the event `broken` tells of each.
    public let broken: Int
  }

  /// Renews `leases` and says that the worker lives.
  /// - Parameter counters: fields of the worker's hash; asked for anew for each attempt, for it may have to register again
  ///   before.
  /// - Throws: `QueueError` with `.twin` when another process beats under this name.
  public func renew(
    _ leases: [Lease], boot: String, lists: [StageList],
    counters: @autoclosure () -> [(field: String, value: String)],
    leaseMilliseconds: Int, now: Int? = nil
  ) async throws -> Beat {
    var leading: [RedisArgument] = [
      .text(worker), .text(boot), .integer(leaseMilliseconds), .integer(leases.count),
      .integer(leases.count),
    ]
    for lease in leases { leading += [.text(lease.batch), .text(lease.fence.description)] }
    leading.append(.integer(lists.count))
    for list in lists { leading.append(.text(list.description)) }
    func arguments() -> [RedisArgument] {
      let counters = counters()
      return leading + [.integer(counters.count)]
        + counters.flatMap { [.text($0.field), .text($0.value)] }
    }
    let sent = ContinuousClock.now
    let reply = try await call("renew", arguments(), now: now)
    guard let parts = reply.array, parts.count == 8, let time = parts[0].integer,
      let deadline = parts[1].integer, let outbox = parts[2].integer,
      let states = parts[4].array, states.count == leases.count,
      let waiting = parts[5].array, waiting.count == 2 * lists.count,
      let enqueued = parts[6].integer, let broken = parts[7].integer
    else { throw QueueError.unreadable("batchd_renew", reply) }
    if now == nil { adoption.note(redisMilliseconds: time, sent: sent) }
    return Beat(
      leases: try states.map { try Self.state($0, "batchd_renew") },
      backlogs: stride(from: 0, to: waiting.count, by: 2).map {
        (waiting[$0].integer ?? 0, waiting[$0 + 1].integer ?? 0)
      },
      enqueued: enqueued, outbox: outbox, paused: parts[3].textSet,
      nextDeadline: deadline == 0 ? nil : deadline, broken: broken)
  }

  /// What a tick did.
  public struct Tick: Sendable {
    /// Leases and due batches that went elsewhere.
    public let moved: Int
    public let nextDeadline: Int?
  }

  /// Moves what time moves.
  /// - Parameter leaseMilliseconds: how long a lease lasts: for as long after this process came to know Redis's clock,
  ///   which may have stepped before, it ends none.
  public func tick(
    maxCrashes: Int, leaseMilliseconds: Int, now: Int? = nil
  ) async throws -> Tick {
    let sent = ContinuousClock.now
    // For each attempt: between two of them another epoch may have been adopted.
    func reapFrom() -> RedisArgument {
      guard now == nil else { return "" }
      return adoption.redisMilliseconds(afterAdoption: leaseMilliseconds).map { .integer($0) } ?? ""
    }
    let reply = try await call(
      "tick", [reapFrom(), "", .integer(maxCrashes)], now: now)
    guard let parts = reply.array, parts.count == 4, let time = parts[1].integer,
      let deadline = parts[2].integer, let moved = parts[3].integer
    else { throw QueueError.unreadable("batchd_tick", reply) }
    if now == nil { adoption.note(redisMilliseconds: time, sent: sent) }
    return Tick(moved: moved, nextDeadline: deadline == 0 ? nil : deadline)
  }
}
