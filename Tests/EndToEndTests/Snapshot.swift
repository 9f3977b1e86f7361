import Redis

/// The whole queue at one instant: an EVAL sees no half-done function.
struct Snapshot {
  let milliseconds: Int64
  /// What is wrong with the counts, the lanes or the leases at this instant.
  let problems: [String]
  /// `BATCH/ITEM` of every item whose extraction Redis has acknowledged, done or failed.
  let checkpointed: [String]

  static func take(
    _ client: RedisClient, prefix: String = "batchd"
  ) async throws -> Snapshot {
    let script = script.replacing("'batchd:", with: "'\(prefix):")
    let reply = try await client.call(["EVAL", .text(script), 0])
    let parts = reply.array ?? []
    return Snapshot(
      milliseconds: Int64(parts[0].integer ?? 0),
      problems: (parts[1].array ?? []).compactMap(\.text),
      checkpointed: (parts[2].array ?? []).compactMap(\.text))
  }

  /// Counts every batch hash and compares with what the progress keys say.
  private static let script = """
    local time = redis.call('TIME')
    local problems, items, real, flying = {}, {}, {}, {}
    local ends = { completed = 1, completed_with_errors = 1, failed = 1, cancelled = 1 }
    local states = { 'pending', 'processing', 'retrying', 'completed', 'completed_with_errors',
      'failed', 'cancelled' }
    local function add(operation, field, by)
      real[operation] = real[operation] or {}
      real[operation][field] = (real[operation][field] or 0) + by
    end
    for _, key in ipairs(redis.call('KEYS', 'batchd:batch:*')) do
      local id = string.sub(key, #'batchd:batch:' + 1)
      local b = redis.call('HMGET', key, 'status', 'operation', 'account', 'started_at',
        'items_total', 'items_done', 'items_failed', 'place')
      add(b[2], b[1], 1)
      add(b[2], 'total', 1)
      add(b[2], 'items_total', b[5])
      add(b[2], 'items_done', b[6])
      add(b[2], 'items_failed', b[7])
      local leased = redis.call('ZSCORE', 'batchd:leases', id)
      if (b[8] == 'batchd:leases') ~= (leased ~= false) then
        problems[#problems + 1] = id .. ' has place ' .. b[8] .. ', leased: ' .. tostring(leased)
      end
      if b[4] and not ends[b[1]] then
        if flying[b[3]] then
          problems[#problems + 1] = 'under way at once: ' .. flying[b[3]] .. ' and ' .. id
        end
        flying[b[3]] = id
      end
      if b[1] ~= 'pending' then
        for _, kind in ipairs({ 'items:' .. id .. ':extraction', 'errors:' .. id }) do
          for _, item in ipairs(redis.call('HKEYS', 'batchd:' .. kind)) do
            items[#items + 1] = id .. '/' .. item
          end
        end
      end
    end
    for _, operation in ipairs(redis.call('ZRANGE', 'batchd:operations', 0, -1)) do
      local key, sum = 'batchd:progress:' .. operation, 0
      local function shown(field) return tonumber(redis.call('HGET', key, field)) end
      local counted = real[operation] or {}
      local function compare(field)
        if shown(field) ~= (counted[field] or 0) then
          problems[#problems + 1] = key .. ' ' .. field .. ' is ' .. tostring(shown(field))
            .. ', counted ' .. (counted[field] or 0)
        end
      end
      for _, field in ipairs({ 'total', 'items_total', 'items_done', 'items_failed' }) do
        compare(field)
      end
      for _, state in ipairs(states) do
        compare(state)
        sum = sum + shown(state)
      end
      if sum ~= shown('total') then
        problems[#problems + 1] = key .. ': the counts sum to ' .. sum .. ' of ' .. shown('total')
      end
    end
    return { string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000)), problems, items }
    """
}
