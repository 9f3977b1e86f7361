-- batchd_tick: moves what time moves; by any worker, bounded, without a leader.
-- FCALL batchd_tick 1 PREFIX EPOCH EXPECTED_NOW TOLERANCE_MS MAX_CRASHES [NOW]
--   EXPECTED_NOW  Redis's time as the caller's monotonic clock has it, '' when it has none
-- -> ['clock', NOW] when Redis's clock jumped: adopt first, nothing was reaped; else
--    ['ok', NOW, NEXT_DEADLINE, MOVED]
-- Expired leases become suspects; those of an older epoch go to the front of their list uncharged; those that an outage
-- of Redis let expire wait for their workers for one beat more; due ids enter lane or list; intakes of dead workers go back; batches whose place is empty enter again; retention ends.
local LIMIT = 100
local DEAD_AFTER_MS = 30000
local SWEPT_FOR_MS = 3600000

-- One broken record never stops the others: it is shown, and met again in a minute.
local function each(c, key, ids, body)
  local moved = 0
  for _, id in ipairs(ids) do
    local _, problem = attempt(c, function()
      local b = load(c, id)
      if not b or b.place ~= key then
        call('ZREM', key, id)
      elseif body(id, b) then
        moved = moved + 1
      end
    end)
    if problem then
      call('ZADD', key, integer(c.now + 60000), id)
      event(c, 'broken', id, {}, 'error', problem)
    end
  end
  return moved
end

local function reap(c, max_crashes)
  local grace = outage_grace(c)
  local function lost(id, b)
    if older(c, b) then return requeue(c, id, b) end
    if grace then
      call('ZADD', c.leases, integer(grace), id)
      return false
    end
    crashed(c, id, b, max_crashes)
    return true
  end
  local moved = each(c, c.leases, call('ZRANGEBYSCORE', c.leases, '-inf', integer(c.now), 'LIMIT', 0, LIMIT), lost)
  if call('HGET', c.p .. 'meta', 'reaped_epoch') ~= c.epoch then
    local found = 0
    local function if_older(id, b)
      if not older(c, b) then return false end
      found = found + 1
      return requeue(c, id, b)
    end
    moved = moved + each(c, c.leases, call('ZRANGE', c.leases, 0, LIMIT - 1), if_older)
    moved = moved + each(c, c.leases, call('ZRANGE', c.leases, -LIMIT, -1), if_older)
    if found == 0 then call('HSET', c.p .. 'meta', 'reaped_epoch', c.epoch) end
  end
  return moved
end

local function wake(c)
  local ids = call('ZRANGEBYSCORE', c.delayed, '-inf', integer(c.now), 'LIMIT', 0, LIMIT)
  return each(c, c.delayed, ids, function(id, b)
    leave_place(c, id, b)
    if b.status == 'retrying' then become(c, b, 'processing') end
    enter(c, id, b)
    call('HSET', c.p .. 'batch:' .. id, 'place', b.place, 'status', b.status, 'updated_at', c.at)
    event(c, 'due', id, b)
    return true
  end)
end

local function bury_workers(c)
  for _, worker in ipairs(call('ZRANGEBYSCORE', c.p .. 'workers', '-inf',
    integer(c.now - DEAD_AFTER_MS), 'LIMIT', 0, LIMIT)) do
    depart(c, worker)
    event(c, 'worker_lost', '', {}, 'worker', worker)
  end
  for _, worker in ipairs(call('ZRANGE', c.p .. 'departed', 0, LIMIT - 1)) do sweep(c, worker) end
  for _, worker in ipairs(call('ZRANGEBYSCORE', c.p .. 'departed', '-inf',
    integer(c.now - SWEPT_FOR_MS), 'LIMIT', 0, LIMIT)) do
    forget_worker(c, worker)
  end
end

-- Whether the batch's place does not exist, or was found missing after the batch came there: the first that is put back
-- makes the list anew, and the others are homeless all the same.
local function is_homeless(c, b)
  if not b.place or b.place == '' then return true end
  local gone = c.p .. 'gone'
  if call('EXISTS', b.place) == 0 then
    call('HSET', gone, b.place, c.at)
    call('EXPIRE', gone, 86400)
    return true
  end
  local gone_at = call('HGET', gone, b.place)
  return gone_at and b.updated_at < gone_at
end

-- Walks the batches in small steps for one whose place does not exist: somebody deleted a list by hand.
local function find_homeless(c)
  local meta = call('HMGET', c.p .. 'meta', 'scan_at', 'scan_cursor')
  if c.now - number(meta[1]) < 10000 then return end
  local page = call('SCAN', meta[2] or '0', 'MATCH', c.p .. 'batch:*', 'COUNT', 500)
  call('HSET', c.p .. 'meta', 'scan_at', integer(c.now), 'scan_cursor', page[1])
  local long_ago = rfc3339(c.now - 60000)
  for _, key in ipairs(page[2]) do
    local id = string.sub(key, #c.p + 7)
    local _, problem = attempt(c, function()
      local b = load(c, id)
      if living(b) and b.stages and b.updated_at < long_ago and is_homeless(c, b) then
        if b.status == 'retrying' then become(c, b, 'processing') end
        enter(c, id, b, true)
        call('HSET', key, 'place', b.place, 'status', b.status, 'updated_at', c.at)
        event(c, 'repaired', id, b)
      end
    end)
    if problem then event(c, 'broken', id, {}, 'error', problem) end
  end
end

define('tick', function(p, args)
  local c = open(p, args[5])
  guard(c, args[1])
  if args[2] ~= '' and math.abs(c.now - tonumber(args[2])) > tonumber(args[3]) then
    return { 'clock', c.now }
  end
  note_outage(c)
  local moved = reap(c, tonumber(args[4]))
  moved = moved + follow_clock(c) + wake(c)
  moved = moved + cancel_more(c)
  bury_workers(c)
  find_homeless(c)
  local more = end_retention(c)
  commit(c)
  return { 'ok', c.now, more and c.now or next_deadline(c), moved }
end)
