internal import Pipeline
internal import Redis

/// One bounded look at whatever concerns a batch. It only reads, and locks nothing: a batch that moves meanwhile is looked at
/// again.
extension Control {
  private enum Bound {
    static let looks = 3
    static let events = 10
    static let itemErrors = 5
    static let listed = 100_000
    static let leases = 1_000
    static let running = 5
  }

  /// Why the batch `id` is where it is.
  /// - Parameter gates: the names of the gates that its handlers ask.
  public func explain(
    _ id: String, gates: @Sendable (BatchState) -> [String]
  ) async throws -> Explanation {
    var explanation = try await look(at: id, gates: gates)
    for _ in 1..<Bound.looks {
      let now = try await read([
        ["HMGET", .text(keys.batch(id)), "status", "place", "stage", "run"]
      ])[0].array?.map { $0.text ?? "" }
      let seen = explanation.batch
      let then = [
        seen?.status ?? "", explanation.place ?? "", seen?.stage ?? "",
        seen.map { "\($0.run)" } ?? "",
      ]
      let status = now?.first ?? ""
      if seen == nil ? ["", "rejected"].contains(status) : now == then { break }
      explanation = try await look(at: id, gates: gates)
    }
    return explanation
  }

  private func look(
    at id: String, gates: @Sendable (BatchState) -> [String]
  ) async throws -> Explanation {
    let replies = try await read([
      ["TIME"], ["HGETALL", .text(keys.batch(id))], ["TTL", .text(keys.batch(id))],
      ["SMEMBERS", .text(keys.paused)], ["EXISTS", .text(keys.input(id))],
    ])
    let now = Self.milliseconds(replies[0])
    let fields = replies[1].fields
    let workers = try await workers(now: now)
    var found = Explanation(id, at: now)
    found.workers = workers.count { $0.state == .alive }
    found.batch = BatchState(id, fields)
    guard let batch = found.batch, batch.status != "rejected" else {
      found.hasEnvelopeOnly = found.batch == nil && replies[4].integer == 1
      try await search(for: &found)
      return found
    }
    found.place = fields.text("place")
    found.crashes = fields.count("crashes")
    found.isCancelling = fields.text("cancel") != nil
    found.events = try await changes(
      of: id, since: fields.text("admitted_at"), limit: Bound.events)
    if batch.itemsFailed > 0 || fields.count("item_errors") > 0 {
      found.itemErrors = try await itemErrors(of: [id], limit: Bound.itemErrors)[0]
    }
    guard batch.isLiving else {
      found.whereabouts = .ended
      if let seconds = replies[2].integer, seconds >= 0 {
        found.keptUntil = now + min(seconds, 1 << 40) * 1000
      }
      return found
    }
    let list = "\(batch.pipeline ?? ""):\(batch.stage ?? "")"
    found.lane = batch.account.map { "\(batch.pipeline ?? ""):\($0)" }
    found.serving = workers.filter { $0.state == .alive && $0.serves.contains(list) }
    found.paused = replies[3].texts.filter { Self.concerns($0, batch) }.sorted()
    found.gates = try await self.gates(gates(batch) + Self.gate(named: batch.error))
    try await place(&found, of: batch, list: list)
    return found
  }

  /// Whether a pause of `what` stops the batch before its next stage job.
  static func concerns(_ what: String, _ batch: BatchState) -> Bool {
    let pipeline = batch.pipeline ?? ""
    return [
      "all", "pipeline:\(pipeline)", "stage:\(pipeline):\(batch.stage ?? "")",
      "account:\(batch.account ?? "")",
    ].contains(what)
  }

  /// What holds a living batch, by the key that its record names.
  static func whereabouts(
    of batch: BatchState, place: String?, keys: Keys
  ) -> Explanation.Whereabouts {
    let list = "\(batch.pipeline ?? ""):\(batch.stage ?? "")"
    return switch place {
    case _ where !batch.isLiving: .ended
    case keys.leases: .leased
    case keys.delayed: .delayed
    case keys.queue(list): .queue
    case keys.suspects(list): .suspects
    case keys.lane("\(batch.pipeline ?? ""):\(batch.account ?? "")"): .lane
    default: .adrift
    }
  }

  private func place(
    _ found: inout Explanation, of batch: BatchState, list: String
  ) async throws {
    found.whereabouts = Self.whereabouts(of: batch, place: found.place, keys: keys)
    if let lane = found.lane, found.whereabouts == .lane || found.whereabouts == .delayed {
      let holder = try await read([["HGET", .text(keys.lanes), .text(lane)]])[0].text
      if let holder, holder != batch.id {
        found.holder = try await neighbours([holder]).first
      }
    }
    switch found.whereabouts {
    case .queue, .lane, .suspects:
      (found.ahead, found.isInNoList) = try await ahead(of: batch.id, in: found.place ?? "")
      if found.whereabouts == .queue { try await addRunning(&found, of: batch) }
      if found.ahead == nil, found.whereabouts == .queue {
        found.takenBy = try await taker(of: batch.id, list)
      }
    case .delayed: found.dueAt = try await score(batch.id, in: keys.delayed)
    case .leased:
      found.leaseExpiresAt = try await score(batch.id, in: keys.leases)
      found.leasedSince = found.events.last { $0.event == "claimed" }?.at
      if let name = batch.worker { found.worker = try await worker(name, now: found.takenAt) }
    default: break
    }
    if found.dueAt == nil, found.whereabouts == .delayed { found.whereabouts = .adrift }
    if found.leaseExpiresAt == nil, found.whereabouts == .leased { found.whereabouts = .adrift }
  }

  /// Batches with what holds them; those that are unknown are left out.
  func neighbours(_ ids: [String]) async throws -> [Explanation.Neighbour] {
    let replies = try await read(
      ids.flatMap { id -> [[RedisArgument]] in
        [
          ["HGETALL", .text(keys.batch(id))], ["ZSCORE", .text(keys.delayed), .text(id)],
          ["ZSCORE", .text(keys.leases), .text(id)],
        ]
      })
    let lanes = ids.indices.map { at in
      let fields = replies[3 * at].fields
      return RedisArgument.text("\(fields["pipeline"] ?? ""):\(fields["account"] ?? "")")
    }
    let holders =
      ids.isEmpty ? [] : try await read([["HMGET", .text(keys.lanes)] + lanes])[0].array ?? []
    return ids.enumerated().compactMap { at, id in
      let fields = replies[3 * at].fields
      guard let batch = BatchState(id, fields) else { return nil }
      let place = Self.whereabouts(of: batch, place: fields.text("place"), keys: keys)
      let until =
        place == .delayed ? replies[3 * at + 1] : place == .leased ? replies[3 * at + 2] : nil
      let holder = place == .lane && at < holders.count ? holders[at].text : nil
      return .init(
        batch: batch, whereabouts: place, until: until?.text?.scoreOfRedis,
        holder: holder == id ? nil : holder)
    }
  }

  /// How many a list hands out before `id`: the last one is the next.
  /// - Returns: nil when it is not among the next 100,000; and whether those are the whole list.
  private func ahead(of id: String, in list: String) async throws -> (Int?, Bool) {
    let replies = try await read([
      ["LLEN", .text(list)],
      ["LPOS", .text(list), .text(id), "RANK", -1, "MAXLEN", .integer(Bound.listed)],
    ])
    let length = replies[0].integer ?? 0
    guard let at = replies[1].integer else { return (nil, length <= Bound.listed) }
    return (max(length - 1 - at, 0), false)
  }

  /// Who has the slots that it waits for.
  private func addRunning(_ found: inout Explanation, of batch: BatchState) async throws {
    let ids = try await read([["ZRANGE", .text(keys.leases), 0, .integer(Bound.leases - 1)]])[0]
      .texts
    let stages = try await read(ids.map { ["HMGET", .text(keys.batch($0)), "pipeline", "stage"] })
    let running = zip(ids, stages).filter { $1.texts == [batch.pipeline, batch.stage] }
    found.runningCount = running.count
    found.running = running.prefix(Bound.running).map(\.0)
  }

  /// Whose intake of the list holds `id`; a dead worker's is emptied by the others.
  private func taker(of id: String, _ list: String) async throws -> String? {
    let replies = try await read([
      ["ZRANGE", .text(keys.workers), 0, 999],
      ["ZRANGE", .text(keys.departed), 0, 999],
    ])
    let names = replies.flatMap(\.texts)
    let places = try await read(
      names.map { name -> [RedisArgument] in
        ["LPOS", .text(keys.intake(name, list)), .text(id), "MAXLEN", 1_000]
      })
    return zip(names, places).first { $0.1.integer != nil }?.0
  }

  private func score(_ id: String, in set: String) async throws -> Int? {
    try await read([["ZSCORE", .text(set), .text(id)]])[0].text?.scoreOfRedis
  }

  /// Who that was, also when it is gone; nil after a day.
  private func worker(_ name: String, now: Int) async throws -> WorkerStatus? {
    let replies = try await read([
      ["ZSCORE", .text(keys.workers), .text(name)], ["HGETALL", .text(keys.worker(name))],
    ])
    let fields = replies[1].fields
    guard !fields.isEmpty else { return nil }
    guard let beat = replies[0].text?.scoreOfRedis else {
      return Self.departed(name, at: now, fields)
    }
    return Self.worker(name, fields, beatAt: beat, now: now)
  }

  /// What those gates hold now; one that Redis does not know is open.
  public func gates(_ names: [String]) async throws -> [Snapshot.Gate] {
    let names = Set(names).sorted()
    let replies = try await read(names.map { ["HGETALL", .text(keys.gate($0))] })
    return zip(names, replies).compactMap { name, reply in
      let fields = reply.fields
      return fields.isEmpty ? nil : Snapshot.Gate(name, fields)
    }
  }

  /// The gate for which a batch was put off, which its worker's configuration alone may name.
  private static func gate(named error: String?) -> [String] {
    guard let error, let name = error.wholeMatch(of: /gate (\S{1,300}) is closed/)?.1 else {
      return []
    }
    return [String(name)]
  }
}
