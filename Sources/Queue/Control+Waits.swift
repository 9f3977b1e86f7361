internal import Redis

/// Why an account's next batch waits: backoff, gates, and whoever is before it in its lane.
extension Control {
  private enum Bound {
    /// Ids of one lane, and lanes, of which it is asked who is ahead.
    static let lane = 200
    static let lanes = 20
  }

  private struct Place {
    let at: Int
    let member: Member
    let lane: String
    let gates: [String]
  }

  func addWaits(
    _ states: inout [AccountState], _ tally: OperationTally, _ known: Set<String>, now: Int,
    _ gates: (String, String) -> [String]
  ) async throws {
    let places = states.enumerated().compactMap { at, state -> Place? in
      guard let member = tally.current[state.account]?.member else { return nil }
      let pipeline = member.state.pipeline ?? ""
      return Place(
        at: at, member: member, lane: "\(pipeline):\(state.account)",
        gates: gates(pipeline, state.account))
    }
    var replies = try await read(
      places.flatMap { place -> [[RedisArgument]] in
        [
          ["ZSCORE", .text(keys.delayed), .text(place.member.state.id)],
          ["HGET", .text(keys.lanes), .text(place.lane)], ["LLEN", .text(keys.lane(place.lane))],
        ]
          + place.gates.map {
            ["HMGET", .text(keys.gate($0)), "next_ms", "interval", "reason"]
          }
      })[...]
    var shared: [(place: Place, holder: String?)] = []
    for place in places {
      let due = replies.removeFirst().text?.scoreOfRedis
      let holder = replies.removeFirst().text
      let waiting = replies.removeFirst().integer ?? 0
      Self.describe(&states[place.at], place.member, due: due, isRunning: isHeld(place.member))
      for gate in replies.prefix(place.gates.count) { Self.add(gate, &states[place.at], now: now) }
      replies.removeFirst(place.gates.count)
      let isForeign = holder.map { !known.contains($0) } ?? false
      // All who wait in it may be ours: then nobody need be asked.
      if isForeign || waiting > states[place.at].pending { shared.append((place, holder)) }
    }
    try await addLanes(&states, shared, known)
  }

  private func isHeld(_ member: Member) -> Bool { member.place == keys.leases }

  private static func describe(
    _ state: inout AccountState, _ member: Member, due: Int?, isRunning: Bool
  ) {
    state.batch = member.state.id
    state.number = member.state.number
    state.stage = member.state.stage
    state.isRunning = isRunning
    guard !isRunning else { return }
    state.dueAt = due
    state.error = member.state.error
  }

  private static func add(_ reply: RedisValue, _ state: inout AccountState, now: Int) {
    let values = (reply.array ?? []).map(\.text)
    guard values.count == 3, let next = values[0]?.countOfRedis else { return }
    let interval = values[1]?.countOfRedis ?? 0
    state.gateIntervalMilliseconds = max(state.gateIntervalMilliseconds ?? 0, interval)
    let gate = Snapshot.Gate(
      name: "", opensAt: next, intervalMilliseconds: interval,
      reason: values[2].flatMap { $0.isEmpty ? nil : $0 })
    guard isClosed(gate, now: now), next > state.gateOpensAt ?? 0 else { return }
    state.gateOpensAt = next
    state.gateReason = gate.reason
  }

  private func addLanes(
    _ states: inout [AccountState], _ lanes: [(place: Place, holder: String?)],
    _ known: Set<String>
  ) async throws {
    for lane in lanes.dropFirst(Bound.lanes) { states[lane.place.at].isAheadPartial = true }
    let lanes = lanes.prefix(Bound.lanes)
    // The right end comes next.
    let lists = try await read(
      lanes.map { ["LRANGE", .text(keys.lane($0.place.lane)), .integer(-Bound.lane), -1] }
    ).map { $0.texts.reversed() as [String] }
    let ids = zip(lanes, lists).flatMap { lane, list in [lane.holder].compactMap { $0 } + list }
    let others = try await readMembers(ids.filter { !known.contains($0) })
      .reduce(into: [String: Member]()) { $0[$1.state.id] = $1 }
    for (lane, list) in zip(lanes, lists) {
      let at = lane.place.at
      let last = list.lastIndex { known.contains($0) }
      states[at].isAheadPartial = list.count == Bound.lane && last != list.count - 1
      let isFirst = lane.holder.map(known.contains) ?? false
      if let holder = lane.holder, !isFirst {
        states[at].laneHolder = holder
        states[at].laneOperation = others[holder]?.state.operation
      }
      // Without one of ours in the list only the holder can be ahead of a batch that waits elsewhere.
      // A holder whose account is paused waits in the list, too.
      let before = list.prefix(last ?? (states[at].isAheadPartial ? list.count : 0))
        .filter { $0 != lane.holder }
      for id in (isFirst ? [] : [lane.holder].compactMap { $0 }) + before {
        guard let other = others[id]?.state, other.isLiving else { continue }
        states[at].batchesAhead += 1
        states[at].itemsAhead += max(other.itemsTotal - other.itemsDone - other.itemsFailed, 0)
      }
    }
  }
}
