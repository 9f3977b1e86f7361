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
local REVISION = 11
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

local report, flush, tell_ended

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
      if context then
        if #mended > 0 then pcall(report, context) end
        -- Even of a call that failed half-way: what they tell of has happened.
        pcall(flush, context)
      end
      if ok then return result end
      if refusal then return redis.error_reply(refusal) end
      local text = type(result) == 'table' and result.err or tostring(result)
      -- The errors of Redis itself (OOM, NOPERM, WRONGTYPE) keep their code as the first word.
      return redis.error_reply(string.match(text, '^%u+ ') and text or 'ERR batchd_' .. name .. ': ' .. text)
    end,
  }
end

-- By %d, which costs a third of what %.0f does.
local function integer(value)
  return string.format('%d', value)
end

local known_seconds, known_second_count = {}, 0

-- RFC 3339 in UTC of a second, up to its point. Redis's Lua has no os.date: days to civil date after Howard Hinnant's
-- chrono-compatible algorithm.
local function second_text(second)
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
  return string.format('%04d-%02d-%02dT%02d:%02d:%02d.', year, month,
    doy - math.floor((153 * mp + 2) / 5) + 1, math.floor(rest / 3600), math.floor(rest / 60) % 60,
    rest % 60)
end

-- RFC 3339 in UTC with milliseconds. The texts of seconds are kept, for a busy server asks for the same ones.
local function rfc3339(ms)
  local second = math.floor(ms / 1000)
  local text = known_seconds[second]
  if not text then
    text = second_text(second)
    if known_second_count == 1000 then known_seconds, known_second_count = {}, 0 end
    known_seconds[second], known_second_count = text, known_second_count + 1
  end
  return text .. string.format('%03dZ', ms - second * 1000)
end

local small_counts = {}

-- A counter as the functions write them: digits, and few enough to be exact.
local function is_count(text)
  if small_counts[text] then return true end
  if #text > 15 or text == '' or string.find(text, '%D') then return false end
  if #text <= 3 then small_counts[text] = true end
  return true
end

local names = {}

-- The names of keys that every call needs, made once for a prefix.
local function names_of(p)
  if names.p ~= p then
    names = { p = p, meta = p .. 'meta', leases = p .. 'leases', delayed = p .. 'delayed', batch = p .. 'batch:',
      events = p .. 'events' }
  end
  return names
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
  local known = names_of(p)
  local meta = call('HMGET', known.meta, 'epoch', 'event_count', 'fence')
  context = {
    p = p, now = now, now_text = integer(now), at = rfc3339(now), progress = {}, epoch = meta[1], fence = meta[3],
    event_count = meta[2] and #meta[2] < 10 and is_count(meta[2]) and meta[2] or '10000',
    leases = known.leases, delayed = known.delayed, batch = known.batch, events = known.events,
    stats = {}, leased = {}, unleased = {}, ended = {}, pipelines = {}, members = {}, queued = {},
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
  c.epoch_mark = epoch .. '-'
end

-- What a person pushed as an id may be a megabyte: events show its beginning.
local function short(text)
  return text and #text > 128 and string.sub(text, 1, 128) or text
end

local tell_together

local function event(c, name, id, b, ...)
  tell_together(c)
  call('XADD', c.events, '*', 'event', name, 'batch', short(id),
    'operation', short(b.operation) or '', 'stage', short(b.stage) or '', 'at', c.at, ...)
  c.has_events = true
end

-- What happens to many batches of one call alike, one after the other, is told once: `batch` holds their ids, with spaces
-- between. `more` is a field that they share, `each` one whose values stand in the order of the ids.
local function event_together(c, name, id, b, more, value, each, one)
  local group = c.together
  if not group or group.name ~= name or group.operation ~= b.operation or group.stage ~= b.stage
    or group.value ~= value then
    tell_together(c)
    group = { name = name, operation = b.operation, stage = b.stage, more = more, value = value, each = each, ids = {},
      ones = {} }
    c.together = group
  end
  group.ids[#group.ids + 1] = id
  if each then group.ones[#group.ones + 1] = one end
end

tell_together = function(c)
  local group = c.together
  if not group then return end
  c.together = nil
  local words = { group.more, group.value }
  if group.each then words[3], words[4] = group.each, table.concat(group.ones, ' ') end
  call('XADD', c.events, '*', 'event', group.name, 'batch', table.concat(group.ids, ' '), 'operation',
    group.operation, 'stage', group.stage, 'at', c.at, unpack(words))
  c.has_events = true
end

local function stat(c, name, by)
  c.stats[name] = (c.stats[name] or 0) + (by or 1)
end

-- Gives a lease, or lets it go on, until `expiry`; written with those of the whole call.
local function lease_until(c, id, expiry)
  local n = #c.leased
  c.leased[n + 1], c.leased[n + 2] = expiry, id
end

-- Calls `command` with `key` and the words of `list`, which it empties. Lua's stack takes some thousands at once.
local function call_with(command, key, list)
  for at = 1, #list, 1000 do call(command, key, unpack(list, at, math.min(at + 999, #list))) end
  return {}
end

-- Notes that `word` is to be pushed to the list `key` with all others of the call: `lists` holds them by key.
local function push_later(lists, key, word)
  local list = lists[key]
  if not list then
    list = {}
    lists[key] = list
  end
  list[#list + 1] = word
end

-- Pushes what push_later noted. What an error stops is not pushed again by the flush that follows it.
local function call_lists(lists, command)
  for key, list in pairs(lists) do
    lists[key] = nil
    call_with(command, key, list)
  end
end

-- Writes what needs one write for all batches of a call: ids that wait, leases given and ended, counters, and the end of the
-- events.
flush = function(c)
  call_lists(c.queued, 'LPUSH')
  c.unleased = call_with('ZREM', c.leases, c.unleased)
  c.leased = call_with('ZADD', c.leases, c.leased)
  for name, by in pairs(c.stats) do call('HINCRBY', c.p .. 'stats', name, by) end
  c.stats = {}
  call_lists(c.members, 'RPUSH')
  tell_together(c)
  tell_ended(c)
  if c.has_events then call('XTRIM', c.events, 'MAXLEN', '~', c.event_count) end
  c.has_events = false
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

local known_names, known_name_count = {}, 0

-- As is_name, for names that stand in many batches: operations, pipelines, accounts.
local function is_common_name(text)
  if known_names[text or ''] then return true end
  if not is_name(text) then return false end
  if known_name_count == 1000 then known_names, known_name_count = {}, 0 end
  known_names[text], known_name_count = true, known_name_count + 1
  return true
end

-- The batch as a table of strings; nil when there is none.
local function load(c, id)
  if #id > 128 then return nil end
  local flat = call('HGETALL', c.batch .. id)
  if #flat == 0 then return nil end
  local b = {}
  for i = 1, #flat, 2 do b[flat[i]] = flat[i + 1] end
  if b.plain then
    -- Whoever loads it may do anything to it (plain.lua).
    if mends then call('HDEL', c.batch .. id, 'plain') end
    b.plain = nil
  end
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
