import Redis

/// Clocks, retention and backups: what befalls Redis.
extension Simulation {
  /// Time passes; workers that live beat, unless everything is cut off.
  mutating func pass(_ milliseconds: Int, silent: Bool) async throws {
    if silent {
      if milliseconds > World.quiet { ledger.count(.silence) }
      advance(milliseconds)
    } else {
      let last = min(milliseconds, 20_000)
      if milliseconds > last { try await passBeating(milliseconds - last) }
      for from in stride(from: 0, to: last, by: 5_000) {
        advance(min(5_000, last - from))
        try await beatAll()
      }
    }
    if milliseconds > 60_000 { _ = try await command(["EVAL", .text(Self.idleScript), 0]) }
    if milliseconds >= 3_600_000 { try await expire() }
  }

  private mutating func advance(_ milliseconds: Int) {
    now += milliseconds
    monotonic += milliseconds
  }

  mutating func beatAll() async throws {
    for at in workers.indices where workers[at].isFree { _ = try await beat(at, lost: false) }
  }

  /// A long time in which nothing happens but beats: one is sent, and what all the others would have prolonged is.
  private mutating func passBeating(_ milliseconds: Int) async throws {
    try await beatAll()
    advance(milliseconds)
    for worker in workers where worker.isFree {
      _ = try await command(["ZADD", "s:workers", "XX", .integer(now), .text(worker.name)])
      for token in worker.tokens.values where picture.renews(token) {
        ledger.prolonged[token.fence] = monotonic
        _ = try await command([
          "ZADD", "s:leases", "XX", .integer(now + World.lease), .text(token.batch),
        ])
      }
    }
  }

  /// Ends the retention that Redis would end, if its own clock were this one.
  mutating func expire() async throws {
    try await look()
    let reply = try await command(["EVAL", .text(Self.expiryScript), 0, .integer(now)])
    for key in reply.texts {
      if key == "s:progress:op" { ledger.timeline.expired = Counts() }
    }
    for key in reply.texts where key.hasPrefix("s:batch:") {
      guard let batch = picture.batches[String(key.dropFirst(8))] else { continue }
      ledger.count(.endedRetention)
      guard !batch.isLiving else { throw Violation("\(batch.id) lives and its keys expire") }
      let isForgotten = reply.texts.contains("s:progress:op")
      ledger.expired(batch, isOperationGone: isForgotten)
    }
  }

  mutating func backUp() async throws {
    try await look()
    let slot = 1 + backups.count % Self.backupsKept
    _ = try await command(["EVAL", .text(Self.copyScript), 0, 0, .integer(slot)])
    backups.append((ledger.timeline, picture.epoch))
  }

  mutating func rollBack(_ back: Int, restarted: Bool) async throws {
    guard back < min(backups.count, Self.backupsKept) else { return }
    let index = backups.count - 1 - back
    try await look()
    // Restored into the running server it is noticed by the epoch alone, which must thus be behind the store's.
    let isNoticed = backups[index].epoch < ledger.storeEpoch
    ledger.count(.rollback)
    if isNoticed { ledger.count(.rollbackBehindStore) }
    _ = try await command([
      "EVAL", .text(Self.copyScript), 0, .integer(1 + index % Self.backupsKept), 0,
    ])
    ledger.timeline = backups[index].timeline
    if restarted || !isNoticed {
      _ = try await command(["HSET", "s:meta", "run_id", "another"])
      for at in workers.indices { workers[at].isConnected = false }
    } else {
      ledger.count(.rollbackUnderConnections)
      // Who is still in the backup's epoch cannot know: the README asks to close the connections.
      for at in workers.indices where workers[at].epoch == backups[index].epoch {
        workers[at].isConnected = false
      }
    }
    try await expire()
  }

  mutating func command(_ words: [RedisArgument]) async throws -> RedisValue {
    isPictureFresh = false
    return try await connection.callAll([words])[0]
  }

  /// What a worker took from the outbox and did not acknowledge becomes idle: that clock cannot be injected.
  private static let idleScript = """
    local pending = redis.pcall('XPENDING', 's:ended', 'store', '-', '+', 100)
    for _, entry in ipairs(pending.err and {} or pending) do
      redis.call('XCLAIM', 's:ended', 'store', entry[2], 0, entry[1], 'IDLE', 120000, 'JUSTID')
    end
    """

  /// Keys of a retention by the injected clock; answers which it deleted.
  private static let expiryScript = """
    local gone = {}
    for _, key in ipairs(redis.call('KEYS', 's:*')) do
      local at = redis.call('PEXPIRETIME', key)
      if at > 3e12 and at <= tonumber(ARGV[1]) then
        gone[#gone + 1] = key
        redis.call('DEL', key)
      end
    end
    return gone
    """

  /// Copies one database over another.
  private static let copyScript = """
    redis.call('SELECT', ARGV[2])
    redis.call('FLUSHDB')
    redis.call('SELECT', ARGV[1])
    for _, key in ipairs(redis.call('KEYS', 's:*')) do redis.call('COPY', key, key, 'DB', ARGV[2]) end
    redis.call('SELECT', 0)
    """
}
