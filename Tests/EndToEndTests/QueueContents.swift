import Redis

/// What the queue and the store hold, without what every beat writes: two of these tell what was changed meanwhile.
struct QueueContents: Equatable {
  let redis: [String]
  let rows: [String]

  static func take(_ site: Site) async throws -> QueueContents {
    let reply = try await site.client.call(["EVAL", .text(script), 0])
    let tables = ["jobs", "batches", "batch_processing_data"]
    return QueueContents(
      redis: (reply.array ?? []).compactMap(\.text).sorted(),
      rows: try tables.flatMap { try site.rows("SELECT * FROM \($0) ORDER BY 1, 2") })
  }

  /// What is in one of the two only.
  func difference(from other: QueueContents) -> [String] {
    Set(redis + rows).symmetricDifference(other.redis + other.rows).sorted()
  }

  private static let script = """
    local lines = {}
    local own = { worker = 1, workers = 1, departed = 1, stats = 1, events = 1, gate = 1, claimed = 1,
      meta = 1, ended = 1, pipelines = 1, store = 1 }
    for _, key in ipairs(redis.call('KEYS', 'batchd:*')) do
      local kind = redis.call('TYPE', key).ok
      local held = {}
      if own[string.match(key, '^batchd:(%a+)')] then
        kind = 'own'
      elseif kind == 'string' then
        held = { redis.call('GET', key) }
      elseif kind == 'hash' then
        local flat = redis.call('HGETALL', key)
        for i = 1, #flat, 2 do held[#held + 1] = flat[i] .. '=' .. flat[i + 1] end
        table.sort(held)
      elseif kind == 'list' then
        held = redis.call('LRANGE', key, 0, -1)
      elseif kind == 'set' then
        held = redis.call('SMEMBERS', key)
        table.sort(held)
      elseif kind == 'zset' then
        held = redis.call('ZRANGE', key, 0, -1, 'WITHSCORES')
      end
      if kind ~= 'own' then lines[#lines + 1] = key .. ' ' .. table.concat(held, ' ') end
    end
    lines[#lines + 1] = 'epoch ' .. tostring(redis.call('HGET', 'batchd:meta', 'epoch'))
    lines[#lines + 1] = 'fence ' .. tostring(redis.call('HGET', 'batchd:meta', 'fence'))
    return lines
    """
}
