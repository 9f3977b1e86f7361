-- The end of names that nobody needs any more, where Redis's own expiry does not reach: members of lists and sets.
-- Shared by the functions.

local ROUND_MS = 50000
local ROUND_STEP = 1000

-- An operation whose declared size was never reached (an entry of it was rejected) would stay for ever.
local function abandon(c, operation)
  local key = c.p .. 'progress:' .. operation
  local v = call('HMGET', key, 'status', 'pending', 'processing', 'retrying')
  if ENDED[v[1]] or number(v[2]) + number(v[3]) + number(v[4]) > 0 then return end
  local accounts = c.p .. 'accounts:' .. operation
  for _, account in ipairs(call('SMEMBERS', accounts)) do call('UNLINK', key .. ':' .. account) end
  call('UNLINK', key, accounts, c.p .. 'members:' .. operation)
  event(c, 'abandoned', '', { operation = operation })
end

-- All that an operation has in Redis ends a second after `keep`.
local function expire_operation(c, operation, keep)
  local key, at = c.p .. 'progress:' .. operation, integer(keep + 1000)
  for _, account in ipairs(call('SMEMBERS', c.p .. 'accounts:' .. operation)) do
    call('PEXPIREAT', key .. ':' .. account, at)
  end
  call('HDEL', key, 'keep_after')
  call('PEXPIREAT', key, at)
  call('PEXPIREAT', c.p .. 'accounts:' .. operation, at)
  call('PEXPIREAT', c.p .. 'members:' .. operation, at)
end

local function is_later(entry, other)
  local ms, n = string.match(entry, '^(%d+)-(%d+)$')
  local other_ms, other_n = string.match(other, '^(%d+)-(%d+)$')
  if not other_ms then return true end
  return number(ms) > number(other_ms) or ms == other_ms and number(n) > number(other_n)
end

-- An operation that ended while others' runs stood in the outbox (archive.lua), once those have left it; or a month later,
-- for one that no store takes may stand there for ever.
local function end_operation(c, operation, known, oldest, kept)
  local keep = number(known[2])
  if not ENDED[known[1]] or not known[3] then return end
  if not oldest or is_later(oldest, known[3]) or keep + kept < c.now then expire_operation(c, operation, keep) end
end

-- A step of a round over all operations; a round begins once a minute. Those whose keys have expired leave the list;
-- one in which nothing lives or changed for as long as a failed batch is kept is abandoned. Not by score alone:
-- operations with a failed batch stay for weeks, and would hide those behind them.
local function walk_operations(c, kept)
  local list, meta = c.p .. 'operations', c.p .. 'meta'
  local place = call('HMGET', meta, 'round_from', 'round_at')
  local from = tonumber(place[1])
  if not from then
    if math.abs(c.now - number(place[2])) < ROUND_MS then return false end
    call('HSET', meta, 'round_at', integer(c.now))
    from = 0
  end
  local found, left = call('ZRANGE', list, from, from + ROUND_STEP - 1, 'WITHSCORES'), 0
  local waiting = call('XRANGE', c.p .. 'ended', '-', '+', 'COUNT', 1)[1]
  for i = 1, #found, 2 do
    local known = call('HMGET', c.p .. 'progress:' .. found[i], 'status', 'keep_until', 'keep_after')
    if not known[1] and call('EXISTS', c.p .. 'progress:' .. found[i]) == 0 then
      call('ZREM', list, found[i])
    else
      left = left + 1
      end_operation(c, found[i], known, waiting and waiting[1], kept)
      if number(found[i + 1]) + kept < c.now then abandon(c, found[i]) end
    end
  end
  if #found < 2 * ROUND_STEP then
    call('HDEL', meta, 'round_from')
    return false
  end
  call('HSET', meta, 'round_from', from + left)
  return true
end

-- Returns whether there is more to end at once.
local function end_retention(c)
  local kept = number(call('HGET', c.p .. 'meta', 'failed_retention_ms'))
  if kept == 0 then return false end
  local over = math.min(call('ZCOUNT', c.p .. 'failed', '-inf', integer(c.now - kept)), ROUND_STEP)
  if over > 0 then call('ZREMRANGEBYRANK', c.p .. 'failed', 0, over - 1) end
  return walk_operations(c, kept) or over == ROUND_STEP
end

-- An operation that never ends (each day's batches under one name) must not remember all that it ever had: drops up to
-- `most` of its oldest members that have expired. A cancellation under way counts from the front. One whose record is gone
-- although its envelope is kept did not expire, it was destroyed: it stays until tick has counted it.
local function forget_members(c, operation, most)
  local key = c.p .. 'members:' .. operation
  if call('SISMEMBER', c.p .. 'cancelling', operation) == 1 then return end
  for _ = 1, most do
    local id = call('LINDEX', key, 0)
    if not id or call('EXISTS', c.p .. 'batch:' .. id) == 1 or call('TTL', c.p .. 'input:' .. id) == -1 then return end
    call('LPOP', key)
  end
end

-- A worker that left long ago: its name leaves the outbox's consumers too, once others were given what it had taken.
local function forget_worker(c, worker)
  -- Without a group an error, which holds no entries.
  if #redis.pcall('XPENDING', c.p .. 'ended', 'store', '-', '+', 1, worker) > 0 then return end
  redis.pcall('XGROUP', 'DELCONSUMER', c.p .. 'ended', 'store', worker)
  call('ZREM', c.p .. 'departed', worker)
end
