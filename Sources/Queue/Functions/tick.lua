-- batchd_tick: moves what time moves; by any worker, bounded, without a leader.
-- FCALL batchd_tick 1 PREFIX EPOCH REAP_FROM UNUSED MAX_CRASHES [NOW]
--   REAP_FROM  from when the caller may end leases, as Redis's time: a lease after it first knew the clock, which may have
--              stepped before; '' for a caller to whom the clock is right
--   UNUSED     stands here since revision 3
-- -> ['ok', NOW, NEXT_DEADLINE, MOVED]
-- Expired leases become suspects; those of an older epoch go to the front of their list uncharged; those that an outage
-- of Redis let expire wait for their workers for one beat more; due ids enter lane or list; intakes of dead workers go
-- back; retention ends. Every ten seconds it walks on by some hundred records and mends what is broken (inspection.lua):
-- every batch is reached from its operation, without a walk over all keys.
local LIMIT = 100
local DEAD_AFTER_MS = 30000
local SWEPT_FOR_MS = 3600000
local PATROL_EVERY_MS = 10000
local PATROL_MOST = 500

-- One broken record never stops the others: it is shown, and met again in a minute.
local function each(c, key, ids, body)
  local moved = 0
  for _, id in ipairs(ids) do
    local _, problem = attempt(c, function()
      local b = load(c, id)
      if not b or b.place ~= key or not living(b) then
        call('ZREM', key, id)
        return
      end
      local why = flaw(b)
      if why then
        condemn(c, id, b, why)
      elseif body(id, b) then
        moved = moved + 1
      end
    end)
    if problem then
      call('ZADD', key, integer(c.now + 60000), id)
      broken(c, c.p .. 'batch:' .. id, problem, 'looked at again in a minute')
    end
  end
  return moved
end

local function reap(c, from, max_crashes)
  local grace = outage_grace(c)
  local function lost(id, b)
    if older(c, b) then return requeue(c, id, b) end
    if c.now < grace then
      call('ZADD', c.leases, integer(grace), id)
      return false
    end
    if c.now < from then
      -- Not longer: somebody else may know better.
      call('ZADD', c.leases, integer(math.min(from, c.now + 1000)), id)
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
  -- A beat from the future (a clock that stepped back, a hand) would never grow old.
  for _, worker in ipairs(call('ZRANGEBYSCORE', c.p .. 'workers', integer(c.now + DEAD_AFTER_MS), '+inf',
    'LIMIT', 0, LIMIT)) do
    call('ZADD', c.p .. 'workers', integer(c.now), worker)
  end
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

-- Reads the next page of a set or hash, for a walk that goes on with the next patrol.
local function next_page(c, command, name)
  local field = 'patrol_' .. name
  local cursor = string.match(call('HGET', c.p .. 'meta', field) or '', '^%d+$') or '0'
  local page = call(command, c.p .. name, cursor, 'COUNT', LIMIT)
  call('HSET', c.p .. 'meta', field, page[1])
  return page[2]
end

-- A batch whose record was destroyed counts as failed; its envelope, which alone tells what it was, stays for a month.
local function note_destroyed(c, id)
  local input = c.p .. 'input:' .. id
  if not is_name(id) or call('TTL', input) ~= -1 then return end
  call('EXPIRE', input, ASIDE_SECONDS)
  broken(c, c.p .. 'batch:' .. id, 'it is gone', 'it counts as failed; its envelope is in ' .. input .. ' for a month')
end

-- The members of a living operation from where the last patrol stopped; then its counts.
-- -> how many batches it looked at
local function patrol_operation(c, operation)
  local status = call('HGET', c.p .. 'progress:' .. operation, 'status')
  if not status or ENDED[status] then return 1 end
  local members = call('LLEN', c.p .. 'members:' .. operation)
  local field, from = 'patrol:' .. operation, 0
  if members > PATROL_MOST then from = math.max(number(call('HGET', c.p .. 'meta', field)), 0) end
  local ids = call('LRANGE', c.p .. 'members:' .. operation, from, from + PATROL_MOST - 1)
  if from == 0 then ids[#ids + 1] = operation end
  for _, id in ipairs(ids) do
    mend(c, c.p .. 'batch:' .. id, function()
      local b = load(c, id)
      if not b then return note_destroyed(c, id) end
      if not living(b) then return end
      if b.operation == operation then return check_batch(c, id, b) end
      -- It may have been run again in another operation: then that one exists.
      if is_name(b.operation) and call('EXISTS', c.p .. 'progress:' .. b.operation) == 1 then return end
      return 'its operation is none', 'give it back', function()
        call('HSET', c.p .. 'batch:' .. id, 'operation', operation)
        b.operation = operation
        event(c, 'repaired', id, b, 'error', 'its operation was none')
      end
    end)
  end
  if members > PATROL_MOST then
    local following = from + PATROL_MOST
    if following < members then
      call('HSET', c.p .. 'meta', field, integer(following))
    else
      call('HDEL', c.p .. 'meta', field)
    end
  else
    commit(c)
    recount(c, operation, PATROL_MOST)
  end
  return #ids
end

-- A page of operations may take more than one patrol: their walk goes on at the one where the last stopped.
local function patrol_operations(c)
  local looked, page = 0, call('HGET', c.p .. 'meta', 'patrol_rest')
  local operations = {}
  for operation in string.gmatch(page or '', '%S+') do operations[#operations + 1] = operation end
  if #operations == 0 then
    local pairs_of_page = next_page(c, 'ZSCAN', 'operations')
    for i = 1, #pairs_of_page, 2 do
      if is_name(pairs_of_page[i]) then
        operations[#operations + 1] = pairs_of_page[i]
      else
        call('ZREM', c.p .. 'operations', pairs_of_page[i])
      end
    end
  end
  local at = 1
  while at <= #operations and looked < PATROL_MOST do
    looked = looked + patrol_operation(c, operations[at])
    at = at + 1
  end
  call('HSET', c.p .. 'meta', 'patrol_rest', table.concat(operations, ' ', at))
end

local function patrol_entries(c, key, name)
  local page = next_page(c, 'ZSCAN', name)
  for i = 1, #page, 2 do mend(c, key, check_entry, key, page[i], page[i + 1]) end
end

local function patrol(c)
  local last = number(call('HGET', c.p .. 'meta', 'patrol_at'))
  if last <= c.now and c.now - last < PATROL_EVERY_MS then return end
  call('HSET', c.p .. 'meta', 'patrol_at', integer(c.now))
  check_types(c)
  patrol_entries(c, c.leases, 'leases')
  patrol_entries(c, c.delayed, 'delayed')
  local lanes = next_page(c, 'HSCAN', 'lanes')
  for i = 1, #lanes, 2 do mend(c, c.p .. 'lanes', check_holder, lanes[i], lanes[i + 1]) end
  patrol_operations(c)
end

define('tick', function(p, args)
  local c = open(p, args[5])
  guard(c, args[1])
  local moved = 0
  local function step(name, body)
    local count, problem = attempt(c, body)
    if problem then broken(c, p .. name, problem, 'this part of tick was left out; batchd doctor may know more') end
    moved = moved + (count or 0)
    commit(c)
  end
  step('workers', function() note_outage(c) end)
  step('leases', function() return reap(c, number(args[2]), tonumber(args[4])) end)
  step('delayed', function() return follow_clock(c) + wake(c) end)
  step('cancelling', function() return cancel_more(c) end)
  step('workers', function() bury_workers(c) end)
  step('meta', function() patrol(c) end)
  local more
  step('operations', function() more = end_retention(c) end)
  return { 'ok', c.now, more and c.now or next_deadline(c), moved }
end)
