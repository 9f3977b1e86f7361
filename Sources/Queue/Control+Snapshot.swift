public import Pipeline
internal import Redis

/// Reading a `Snapshot`: a few round trips, each bounded; not atomic, for it locks nothing.
extension Control {
  private enum Bound {
    static let lanes = 10_000
    static let failed = 5
    /// Keys that the search for gates looks at, and how many of them in one step.
    static let keys = 200_000
    static let keysPerStep = 1_000
  }

  /// What the queue looks like now. Bounded; `isPartial` says when a bound was met.
  public func snapshot() async throws -> Snapshot {
    let replies = try await read([
      ["TIME"], ["HGET", .text(keys.meta), "epoch"], ["LLEN", .text(keys.enqueue)],
      ["ZCARD", .text(keys.delayed)], ["ZRANGE", .text(keys.delayed), 0, 0, "WITHSCORES"],
      ["ZCARD", .text(keys.leases)], ["ZRANGE", .text(keys.leases), 0, 0, "WITHSCORES"],
      ["SMEMBERS", .text(keys.paused)], ["LLEN", .text(keys.rejected)],
      ["ZCARD", .text(keys.failed)], ["XLEN", .text(keys.ended)], ["HGETALL", .text(keys.stats)],
      ["HLEN", .text(keys.lanes)],
    ])
    let counts = replies.map { $0.integer ?? 0 }
    let now = Self.milliseconds(replies[0])
    let held = counts[12]
    let (gates, sawAllKeys) = try await closedGates(now: now)
    let queues = try await waiting()
    let workers = try await workers(now: now).filter { $0.state != .stopped }
    return Snapshot(
      takenAt: now, epoch: replies[1].integer, enqueued: counts[2], queues: queues,
      delayed: counts[3], nextDueAt: Self.firstScore(replies[4]), leases: counts[5],
      nextExpiryAt: Self.firstScore(replies[6]),
      unserved: Self.unserved(queues, by: workers), lanesHeld: held,
      lanes: held <= Bound.lanes ? try await lanes() : [], paused: replies[7].texts.sorted(),
      rejected: counts[8],
      failed: counts[9], lastRejected: try await rejected(limit: 1).first?.reason,
      lastFailed: try await lastFailed(),
      outbox: counts[10], workers: workers, closedGates: gates,
      isPartial: held > Bound.lanes || !sawAllKeys,
      stats: replies[11].fields.compactMapValues(\.countOfRedis))
  }

  /// How many workers have said within the last 30 s that they live; after that tick buries them.
  public func workerCount() async throws -> Int {
    try await read([["ZCARD", .text(keys.workers)]])[0].integer ?? 0
  }

  /// The registered pipelines and their stages in order.
  public func pipelines() async throws -> [String: [Stage]] {
    try await read([["HGETALL", .text(keys.pipelines)]])[0].fields.mapValues { text in
      text.prefix { $0 != "|" }.split(separator: ",").compactMap { Stage(rawValue: String($0)) }
    }
  }

  private func waiting() async throws -> [Snapshot.Waiting] {
    let lists = try await pipelines().sorted { $0.key < $1.key }.flatMap { pipeline, stages in
      stages.map { StageList(pipeline: pipeline, stage: $0) }
    }
    let lengths = try await read(
      lists.flatMap { [["LLEN", .text(keys.queue($0))], ["LLEN", .text(keys.suspects($0))]] })
    return lists.enumerated().map { at, list in
      Snapshot.Waiting(
        pipeline: list.pipeline, stage: list.stage.rawValue,
        waiting: lengths[2 * at].integer ?? 0, suspects: lengths[2 * at + 1].integer ?? 0)
    }
  }

  private static func unserved(
    _ queues: [Snapshot.Waiting], by workers: [WorkerStatus]
  ) -> [Snapshot.Waiting] {
    let served = Set(workers.filter { $0.state == .alive }.flatMap(\.serves))
    return queues.filter { $0.waiting + $0.suspects > 0 && !served.contains($0.list) }
  }

  private func lanes() async throws -> [Snapshot.Lane] {
    let holders = try await read([["HGETALL", .text(keys.lanes)]])[0].fields.sorted {
      $0.key < $1.key
    }
    let replies = try await read(
      holders.flatMap { lane, holder in
        [
          ["LLEN", .text(keys.lane(lane))],
          ["HMGET", .text(keys.batch(holder)), "stage", "place"],
        ]
      })
    return holders.enumerated().map { at, lane in
      let holder = replies[2 * at + 1].array
      let place = holder?.last?.text
      let length = replies[2 * at].integer ?? 0
      // A paused account's holder stands in front of the others, and waits for none of them.
      let isParked = place == keys.lane(lane.key)
      return Snapshot.Lane(
        name: lane.key, holder: lane.value, stage: holder?.first?.text, place: place,
        waiting: max(length - (isParked ? 1 : 0), 0))
    }
    .sorted { ($1.waiting, $0.name) < ($0.waiting, $1.name) }
  }

  private func lastFailed() async throws -> [BatchState] {
    let ids = try await read([
      ["ZRANGE", .text(keys.failed), 0, .integer(Bound.failed - 1), "REV"]
    ])[0].texts
    return try await batches(ids).compactMap { $0 }
  }

  /// Gates have no index, since an unused one expires: a bounded walk over the keys finds them.
  private func closedGates(now: Int) async throws -> (gates: [Snapshot.Gate], isComplete: Bool) {
    var cursor = "0"
    var names: Set<String> = []
    var looked = 0
    let start = keys.gate("")
    repeat {
      let page = try await read([
        [
          "SCAN", .text(cursor), "MATCH", .text("\(start)*"), "COUNT",
          .integer(Bound.keysPerStep),
        ]
      ])[0].array
      cursor = page?.first?.text ?? "0"
      names.formUnion((page?.last?.texts ?? []).map { String($0.dropFirst(start.count)) })
      looked += Bound.keysPerStep
    } while cursor != "0" && looked < Bound.keys
    let sorted = names.sorted()
    let replies = try await read(sorted.map { ["HGETALL", .text(keys.gate($0))] })
    let gates = zip(sorted, replies).map { Snapshot.Gate($0, $1.fields) }
    return (gates.filter { Self.isClosed($0, now: now) }, cursor == "0")
  }

  /// One that waits for its next permission is not closed: it does its work.
  static func isClosed(_ gate: Snapshot.Gate, now: Int) -> Bool {
    gate.opensAt > now + (gate.reason == nil ? max(2_000, 2 * gate.intervalMilliseconds) : 0)
  }

  static func milliseconds(_ time: RedisValue) -> Int {
    let parts = time.texts.compactMap { Int($0) }
    return parts.count == 2 ? parts[0] * 1000 + parts[1] / 1000 : 0
  }

  private static func firstScore(_ reply: RedisValue) -> Int? {
    // A score may be anything, infinite too.
    reply.texts.last?.scoreOfRedis
  }
}

extension Snapshot.Gate {
  init(_ name: String, _ fields: [String: String]) {
    self.init(
      name: name, opensAt: fields.count("next_ms"), intervalMilliseconds: fields.count("interval"),
      reason: fields.text("reason"))
  }
}
