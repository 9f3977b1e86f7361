internal import Logging
internal import Pipeline
public import Redis

/// From waiting to leased.
extension Queue {
  /// Where a claim takes its batches from.
  public enum Source: String, Sendable {
    /// The worker's intake of the list, then the list.
    case queue
    /// Batches whose worker crashed; they run alone.
    case suspects
  }

  /// A claim's answer.
  public enum Claimed: Sendable {
    case batches([Claim])
    case paused
  }

  /// Claims up to `count` batches of one list.
  /// - Parameter lane: of the calls for one list and source; each lane has one under way at most.
  public func claim(
    _ list: StageList, from source: Source = .queue, lane: Int = 1, count: Int,
    leaseMilliseconds: Int, now: Int? = nil
  ) async throws -> Claimed {
    // One id for all repeats of this call, so that a lost reply is answered alike and claims nothing twice.
    let request = "\(source == .queue ? "\(lane)" : source.rawValue)/\(Self.makeID())"
    let known = adoption.fence
    let reply = try await call(
      "claim",
      [
        .text(worker), .text(request), .text(list.pipeline), .text(list.stage.rawValue),
        .text(source.rawValue), .integer(count), .integer(leaseMilliseconds), "short",
      ], now: now)
    guard let parts = reply.array, parts.count >= 2, let state = parts[0].text else {
      throw QueueError.unreadable("batchd_claim", reply)
    }
    if state == "paused" { return .paused }
    let claims = try Claim.all(parts.dropFirst(2), list: list)
    let fences = claims.map(\.lease.fence)
    if let least = fences.min(), least <= known {
      logger.warning(
        "Redis gave out an old fence, so it has forgotten something; starting a new epoch",
        metadata: ["fence": "\(least)", "known": "\(known)"])
      // Tick takes these leases back, uncharged, as those of an older epoch.
      try await readopt(doubtsFence: true)
      return .batches([])
    }
    adoption.note(fences)
    return .batches(claims)
  }

  /// Waits until an id arrived in this worker's intake of `list`, up to `milliseconds`, on a connection of its own.
  /// - Returns: whether one did.
  public func awaitBatch(
    _ list: StageList, on connection: RedisConnection, milliseconds: Int
  ) async throws -> Bool {
    let reply = try await connection.call(
      [
        "BLMOVE", .text(keys.queue(list)), .text(keys.intake(worker, list)), "RIGHT", "LEFT",
        .text(Self.seconds(milliseconds)),
      ], timeoutMilliseconds: milliseconds + Self.graceMilliseconds)
    return !reply.isNull
  }
}
