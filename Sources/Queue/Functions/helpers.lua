-- What every function of the library shares, after keytypes.lua.
--
-- THE PROTOCOL, ONCE
-- A batch is the hash PREFIX:batch:ID. Its field `place` names the one list or zset that holds the protocol's
-- entry for it, and changes only in the function that moves it:
--
--   admit -> delayed | lane:P:A | queue:P:S
--   lane:P:A --(holder ends)--> queue:P:S
--   queue:P:S --claim--> leases
--   leases --finish--> leases (the lease goes on) | queue:P:NEXT | ended (no place)
--   leases --fail--> delayed | ended      leases --snooze--> delayed      leases --hand_back--> queue:P:S (front)
--   leases --expiry (tick)--> suspects:P:S | ended, or queue:P:S (front) when the epoch changed
--   delayed --due (tick)--> lane:P:A | queue:P:S
--   any --cancel--> ended; under a lease at its next renewal or checkpoint
--   ended --retry, rerun--> as admit, with a new run
--
-- Lists may hold stale ids (a cancelled batch is not searched for in a list of a million): an id popped from a
-- list that is not its place is dropped. A paused account's holder waits at the front of its own lane.
--
-- Lua does not roll back, so every function reads and checks first and writes after. Functions never see JSON:
-- envelopes, outputs and errors are opaque bytes, parsed in Swift.

-- To be raised with each release that changes a function: workers replace a lower one with theirs, never a higher one.
local REVISION = 4
local ENDED = { completed = true, completed_with_errors = true, failed = true, cancelled = true }
local STAGES = { setup = 1, extraction = 2, annotation = 3, validation = 4, metadata = 5, persistence = 6 }
-- redis.call with wrong types mended on the way.
local call = checked

local refusal
-- The context of this call, once it is open.
local context

-- Ends the call with an error reply that starts with `code`. Not by error({err = ...}): some versions of Redis
-- hand pcall the table, others its text.
local function refuse(code, text)
  refusal = code .. ' ' .. text
  error(refusal)
end

local report

-- Registers one function. A refusal becomes the error reply as it stands, without Redis's script position.
local function define(name, body, flags)
  redis.register_function{
    function_name = 'batchd_' .. name,
    flags = flags or { 'allow-oom' },
    callback = function(keys, args)
      if #keys ~= 1 then
        return redis.error_reply('BADARG batchd_' .. name .. ' takes one key, the prefix: FCALL batchd_'
          .. name .. ' 1 batchd ...')
      end
      if not redis_pcall then redis_pcall, type, string, tonumber, math, ipairs, pairs = globals() end
      refusal, context, prefix, mended, mends = nil, nil, keys[1] .. ':', {}, true
      local ok, result = pcall(body, prefix, args)
      if #mended > 0 and context then pcall(report, context) end
      if ok then return result end
      if refusal then return redis.error_reply(refusal) end
      local text = type(result) == 'table' and result.err or tostring(result)
      -- The errors of Redis itself (OOM, NOPERM, WRONGTYPE) keep their code as the first word.
      return redis.error_reply(string.match(text, '^%u+ ') and text or 'ERR batchd_' .. name .. ': ' .. text)
    end,
  }
end

local function integer(value)
  return string.format('%.0f', value)
end

local stamp_second, stamp_text = -1, ''

-- RFC 3339 in UTC with milliseconds. Redis's Lua has no os.date: days to civil date after Howard Hinnant's
-- chrono-compatible algorithm. The text of the second is kept, for a busy server asks within the same one.
local function rfc3339(ms)
  local second = math.floor(ms / 1000)
  if second ~= stamp_second then
    local days = math.floor(second / 86400)
    local rest = second - days * 86400
    local z = days + 719468
    local era = math.floor(z / 146097)
    local doe = z - era * 146097
    local yoe = math.floor((doe - math.floor(doe / 1460) + math.floor(doe / 36524)
      - math.floor(doe / 146096)) / 365)
    local doy = doe - (365 * yoe + math.floor(yoe / 4) - math.floor(yoe / 100))
    local mp = math.floor((5 * doy + 2) / 153)
    local month = mp < 10 and mp + 3 or mp - 9
    local year = yoe + era * 400 + (month <= 2 and 1 or 0)
    stamp_second = second
    stamp_text = string.format('%04d-%02d-%02dT%02d:%02d:%02d.', year, month,
      doy - math.floor((153 * mp + 2) / 5) + 1, math.floor(rest / 3600), math.floor(rest / 60) % 60,
      rest % 60)
  end
  return stamp_text .. string.format('%03dZ', ms - second * 1000)
end

local small_counts = {}

-- A counter as the functions write them: digits, and few enough to be exact.
local function is_count(text)
  if small_counts[text] then return true end
  if #text > 15 or text == '' or string.find(text, '%D') then return false end
  if #text <= 3 then small_counts[text] = true end
  return true
end

-- Opens one call. `given` is the trailing `now` (Unix milliseconds) with which a test owns time. What cannot be one is a
-- word too many of a person's command.
local function open(p, given)
  local now = tonumber(given)
  if given and (not now or now < 100000000000) then
    refuse('BADARG', 'one argument too many: "' .. given .. '"')
  end
  if not now then
    local time = call('TIME')
    now = time[1] * 1000 + math.floor(time[2] / 1000)
  end
  local meta = call('HMGET', p .. 'meta', 'epoch', 'event_count', 'fence')
  context = {
    p = p, now = now, at = rfc3339(now), progress = {}, epoch = meta[1], fence = meta[3],
    event_count = meta[2] and #meta[2] < 10 and is_count(meta[2]) and meta[2] or '10000',
    leases = p .. 'leases', delayed = p .. 'delayed',
  }
  return context
end

-- How far Redis's clock may stray from what a caller expects, before it counts as stepped. RedisClock.swift has it, too.
local CLOCK_TOLERANCE_MS = 5000

-- Every call of a worker carries 'EPOCH EXPECTED_NOW': the epoch it adopted, for a Redis that may have forgotten something
-- refuses it; and what Redis's clock shows by the caller's monotonic one, so that a step is noticed before anything is
-- promised or taken away by the new time. Without EXPECTED_NOW the caller has no clock.
local function guard(c, given)
  local epoch, expected = string.match(given or '', '^(%d+) ?(%d*)$')
  if c.fence and not is_count(c.fence) then
    -- Nobody knows which fences were given: only a new epoch makes larger ones.
    mended[#mended + 1] = { c.p .. 'meta', 'its fence was not a number', 'a new epoch begins' }
    call('HDEL', c.p .. 'meta', 'fence', 'epoch')
    c.epoch = false
  end
  if c.epoch ~= epoch then
    refuse('EPOCH', 'the epoch is ' .. (c.epoch or 'unset') .. ', the caller has ' .. tostring(given)
      .. ': adopt first')
  end
  if expected ~= '' and math.abs(c.now - expected) > CLOCK_TOLERANCE_MS then
    refuse('CLOCK', 'the clock shows ' .. integer(c.now) .. ', the caller expected ' .. expected .. ': adopt first')
  end
end

-- What a person pushed as an id may be a megabyte: events show its beginning.
local function short(text)
  return text and #text > 128 and string.sub(text, 1, 128) or text
end

local function event(c, name, id, b, ...)
  call('XADD', c.p .. 'events', 'MAXLEN', '~', c.event_count, '*', 'event', name, 'batch', short(id),
    'operation', short(b.operation) or '', 'stage', short(b.stage) or '', 'at', c.at, ...)
end

local function stat(c, name, by)
  call('HINCRBY', c.p .. 'stats', name, by or 1)
end

-- Shows what is wrong and what was done about it: the event `broken`, and the counter that every beat sees.
local function broken(c, key, problem, remedy)
  stat(c, 'broken')
  local id = string.sub(key, 1, #c.p + 6) == c.p .. 'batch:' and string.sub(key, #c.p + 7) or ''
  event(c, 'broken', id, {}, 'key',
    string.sub(key, 1, 300), 'error', string.sub(problem, 1, 1000), 'remedy', string.sub(remedy, 1, 300))
end

-- What a batch's place held is homeless from here on, although the key exists again.
local function note_gone(c, key)
  call('HSET', c.p .. 'gone', string.sub(key, 1, 300), c.at)
  call('EXPIRE', c.p .. 'gone', 86400)
end

report = function(c)
  for _, one in ipairs(mended) do
    broken(c, one[1], one[2], one[3])
    note_gone(c, one[1])
  end
end

local function is_name(text)
  return text and #text <= 128 and not string.find(text, '[^%w._-]') and text ~= ''
end

-- The batch as a table of strings; nil when there is none.
local function load(c, id)
  if #id > 128 then return nil end
  local flat = call('HGETALL', c.p .. 'batch:' .. id)
  if #flat == 0 then return nil end
  local b = {}
  for i = 1, #flat, 2 do b[flat[i]] = flat[i + 1] end
  return b
end

-- A whole number that Redis and Lua both hold exactly; 0 for everything else.
local function number(text)
  local value = tonumber(text)
  if not value or value ~= value or value > 1e15 or value < -1e15 then return 0 end
  return math.floor(value)
end

local function living(b)
  return b and not ENDED[b.status] and b.status ~= 'rejected'
end

local function queue_key(c, b, stage)
  return c.p .. 'queue:' .. b.pipeline .. ':' .. (stage or b.stage)
end

local function lane_name(b)
  return b.pipeline .. ':' .. b.account
end

local function next_stage(b)
  local found = false
  for stage in string.gmatch(b.stages, '[^,]+') do
    if found then return stage end
    found = stage == b.stage
  end
  return nil
end

local function has_stage(b, stage)
  return string.find(',' .. b.stages .. ',', ',' .. stage .. ',', 1, true) ~= nil
end

-- ---------------------------------------------------------------------------- progress

local function count(c, operation, field, by)
  local change = c.progress[operation]
  if not change then
    change = {}
    c.progress[operation] = change
  end
  change[field] = (change[field] or 0) + by
end

-- Moves the batch to another status, in its table and in its operation's counts.
local function become(c, b, status)
  if b.status ~= status then
    count(c, b.operation, b.status, -1)
    count(c, b.operation, status, 1)
    b.status = status
  end
end

local COUNTS = { 'total', 'pending', 'processing', 'retrying', 'completed', 'completed_with_errors',
  'failed', 'cancelled', 'items_total', 'items_done', 'items_failed', 'size' }

local function operation_status(v)
  local live = v.pending + v.processing + v.retrying
  if live > 0 or v.total < v.size or v.total == 0 then
    return (v.total > v.pending) and 'processing' or 'pending'
  end
  if v.completed == v.total then return 'completed' end
  if v.failed == v.total then return 'failed' end
  if v.cancelled == v.total then return 'cancelled' end
  return 'completed_with_errors'
end

-- Whether the states sum to the total.
local function counts_agree(v)
  local sum = 0
  for i = 2, 8 do
    if v[COUNTS[i]] < 0 then return false end
    sum = sum + v[COUNTS[i]]
  end
  return sum == v.total
end

local function percent(v)
  if v.items_total > 0 then
    return math.floor(100 * (v.items_done + v.items_failed) / v.items_total)
  end
  local total = math.max(v.total, v.size)
  return total > 0
    and math.floor(100 * (v.total - v.pending - v.processing - v.retrying) / total) or 0
end

-- -> whether the counts agree with each other
local function commit_one(c, operation, change)
  local key = c.p .. 'progress:' .. operation
  local old = call('HMGET', key, 'status', 'started_at', unpack(COUNTS))
  local v, write = {}, {}
  for i, field in ipairs(COUNTS) do
    v[field] = number(old[i + 2])
    if old[i + 2] and not is_count(old[i + 2]) then change[field] = change[field] or 0 end
    if change[field] and (change[field] ~= 0 or not old[i + 2]) then
      v[field] = v[field] + change[field]
    end
    if change[field] or not old[i + 2] then
      write[#write + 1] = field
      write[#write + 1] = integer(v[field])
    end
  end
  local status = operation_status(v)
  write[#write + 1] = 'percent'
  write[#write + 1] = integer(percent(v))
  write[#write + 1] = 'updated_at'
  write[#write + 1] = c.at
  if status ~= old[1] then
    write[#write + 1] = 'status'
    write[#write + 1] = status
    if not old[2] and status ~= 'pending' then
      write[#write + 1] = 'started_at'
      write[#write + 1] = c.at
    end
    if ENDED[status] then
      write[#write + 1] = 'finished_at'
      write[#write + 1] = c.at
      event(c, 'operation_finished', '', { operation = operation }, 'status', status)
    elseif ENDED[old[1]] then
      call('HDEL', key, 'finished_at')
      call('PERSIST', key)
      call('PERSIST', c.p .. 'members:' .. operation)
      for _, account in ipairs(call('SMEMBERS', c.p .. 'accounts:' .. operation)) do
        call('PERSIST', key .. ':' .. account)
      end
      call('PERSIST', c.p .. 'accounts:' .. operation)
      event(c, 'operation_reopened', '', { operation = operation })
    end
  end
  call('HSET', key, unpack(write))
  call('ZADD', c.p .. 'operations', integer(c.now), operation)
  return counts_agree(v)
end

local recount
-- Batches of one operation that a function counts at once, some milliseconds; beyond that `batchd doctor` does.
local RECOUNT_MOST = 1000

-- Writes the collected changes: one hash write per operation, in the same function that changed the states, so
-- that the counts sum to the total at every instant.
local function commit(c)
  for operation, change in pairs(c.progress) do
    -- Somebody wrote into the counts, or made a batch of his own: they are counted anew.
    if not commit_one(c, operation, change) then recount(c, operation, RECOUNT_MOST) end
  end
  c.progress = {}
end

-- Runs `body` so that one broken record stops nobody else: when it fails, the counts it changed are dropped.
local function attempt(c, body)
  local before = c.progress
  c.progress = {}
  local ok, result = pcall(body)
  local changes = c.progress
  c.progress = before
  if not ok then return nil, type(result) == 'table' and result.err or tostring(result) end
  for operation, change in pairs(changes) do
    for field, by in pairs(change) do count(c, operation, field, by) end
  end
  return result
end

local function account_key(c, b)
  return c.p .. 'progress:' .. b.operation .. ':' .. b.account
end

local function account_started(c, b)
  local key = account_key(c, b)
  local following = number(b.number) + 1
  local total = number(call('HGET', key, 'total_batches'))
  call('HSET', key, 'current_batch', b.number, 'status', 'processing', 'next_batch_to_process',
    following <= total and integer(following) or '')
  call('HSETNX', key, 'started_at', c.at)
  call('HDEL', key, 'finished_at')
end

local function account_ended(c, b)
  local key = account_key(c, b)
  local ended = call('HINCRBY', key, 'ended', 1)
  if b.started_at then call('HSET', key, 'last_batch_completed', b.number) end
  if ended >= number(call('HGET', key, 'total_batches')) then
    call('HSET', key, 'status', 'completed', 'current_batch', '', 'finished_at', c.at)
  end
end
