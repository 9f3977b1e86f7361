-- Looks for what no move of the protocol leaves behind: what was deleted, overwritten or written by hand, or lost with the
-- tail of a log. Shared by tick, which walks all of it in small steps, and batchd_doctor, which is told where to look.
-- Each check returns the problem, the remedy and a function that applies it; nothing when all is well.

local SETTLED_MS = 60000
local GRACE_MS = 30000
-- Further away than any delay or lease that can be asked for.
local DELAY_SPAN_MS = 400 * 86400000
local LEASE_SPAN_MS = 86400000
-- A longer list is not searched for one id: it would take Redis too long.
local LIST_MOST = 1000

-- ---------------------------------------------------------------------------- types

local function check_type(key)
  local wrong = wrong_type(key)
  return wrong, 'move it to ' .. aside_name(key), function() set_aside(key, wrong) end
end

-- The keys that every worker needs; others are looked at when they are used.
local function check_types(c)
  for _, name in ipairs({ 'enqueue', 'delayed', 'leases', 'failed', 'lanes', 'rejected', 'paused', 'operations',
    'workers', 'pipelines', 'store', 'stats', 'events', 'ended', 'departed', 'cancelling', 'gone', 'jumped' }) do
    local wrong, _, apply = check_type(c.p .. name)
    if wrong then apply() end
  end
  for _, pipeline in ipairs(call('HKEYS', c.p .. 'pipelines')) do
    for stage in string.gmatch(registered(c, pipeline) or '', '[^,]+') do
      for _, kind in ipairs({ 'queue:', 'suspects:' }) do
        local wrong, _, apply = check_type(c.p .. kind .. pipeline .. ':' .. stage)
        if wrong then apply() end
      end
    end
  end
end

-- ---------------------------------------------------------------------------- places

-- Whether the list was found missing after the batch came there: the first that is put back makes the list anew, and the
-- others are homeless all the same.
local function list_lost(c, id, b, since)
  local gone_at = call('HGET', c.p .. 'gone', b.place)
  if gone_at and since < gone_at then return true end
  return call('LLEN', b.place) <= LIST_MOST and not call('LPOS', b.place, id)
end

-- What a living batch's place lacks; nil when it is where it says. What has just moved may be on its way through an intake.
local function misplaced(c, id, b)
  if b.place == c.leases or b.place == c.delayed then
    -- Or on its way over a jump of the clock.
    if call('ZSCORE', b.place, id) or call('ZSCORE', c.p .. 'jumped', id) then return nil end
    return 'has no entry in ' .. b.place
  end
  local suspects = c.p .. 'suspects:' .. b.pipeline .. ':' .. b.stage
  local lane = b.account and c.p .. 'lane:' .. lane_name(b)
  if not b.place or (b.place ~= queue_key(c, b) and b.place ~= suspects and b.place ~= lane) then
    return 'has the place "' .. string.sub(b.place or '', 1, 200) .. '", which is none of its own'
  end
  local since = stamp(b.updated_at) or ''
  if since < rfc3339(c.now - SETTLED_MS) and list_lost(c, id, b, since) then return 'is not in ' .. b.place end
  return nil
end

local function put_back(c, id, b, problem)
  local key = c.p .. 'batch:' .. id
  if b.place == c.leases then
    -- Who still holds it renews it; if nobody does, it ends like any other lease.
    call('ZADD', c.leases, integer(c.now + GRACE_MS), id)
  else
    local is_ours = b.place and string.sub(b.place, 1, #c.p) == c.p
    if is_ours and call('EXISTS', b.place) == 0 then note_gone(c, b.place) end
    leave_place(c, id, b)
    if b.status == 'retrying' then become(c, b, 'processing') end
    enter(c, id, b, true)
    call('HSET', key, 'place', b.place, 'status', b.status, 'updated_at', c.at)
  end
  event(c, 'repaired', id, b, 'error', problem, 'place', b.place)
end

-- ---------------------------------------------------------------------------- lanes

-- Whether the holder lives and its lane is this one.
local function holds_lane(c, lane, holder)
  local h = is_name(holder) and call('HMGET', c.p .. 'batch:' .. holder, 'status', 'pipeline', 'account')
  return h and LIVE[h[1] or ''] and h[2] and h[3] and h[2] .. ':' .. h[3] == lane
end

-- A batch that waits in a lane which nobody will hand on, or that is under way without holding its lane.
local function check_lane(c, id, b)
  if not b.account then return end
  local lane = lane_name(b)
  local holder = call('HGET', c.p .. 'lanes', lane)
  local held = holder and (holder == id or holds_lane(c, lane, holder))
  if b.place ~= c.p .. 'lane:' .. lane then
    if held or (b.place == c.delayed and not b.started_at) then return end
    return 'is under way without its lane ' .. lane, 'give it the lane', function()
      call('HSET', c.p .. 'lanes', lane, id)
      event(c, 'repaired', id, b, 'error', 'it was under way without its lane')
    end
  end
  if not held then
    return 'waits in lane ' .. lane .. ', which nobody holds', 'hand the lane on', function()
      hand_on(c, lane)
      event(c, 'repaired', id, b, 'error', 'it waited in a lane that nobody held')
    end
  end
  if holder == id and call('SISMEMBER', c.p .. 'paused', 'account:' .. b.account) == 0 then
    return 'waits in its own lane although its account is not paused', 'put it into its list', function()
      call('LREM', b.place, -1, id)
      put_back(c, id, b, 'it waited in its own lane although its account is not paused')
    end
  end
end

-- A field of PREFIX:lanes.
local function check_holder(c, lane, holder)
  if holds_lane(c, lane, holder) then return end
  return 'lane ' .. lane .. ' is held by ' .. string.sub(holder, 1, 128) .. ', which does not live in it',
    'hand the lane on', function()
      hand_on(c, lane)
      event(c, 'repaired', holder, {}, 'error', 'it held lane ' .. lane .. ' without living in it')
    end
end

-- ---------------------------------------------------------------------------- records

-- A batch that lives by its record.
local function check_batch(c, id, b)
  local why = flaw(b)
  if not why and not registered(c, b.pipeline) and call('HLEN', c.p .. 'pipelines') > 0
    and not call('HGET', c.p .. 'gone', c.p .. 'pipelines') then
    why = 'its pipeline "' .. b.pipeline .. '" is not registered'
  end
  if why then
    return 'broken record: ' .. why, 'fail the batch with this reason', function() condemn(c, id, b, why) end
  end
  local problem = misplaced(c, id, b)
  if problem then return problem, 'put it back', function() put_back(c, id, b, problem) end end
  return check_lane(c, id, b)
end

-- An entry of PREFIX:leases or PREFIX:delayed.
local function check_entry(c, key, id, score)
  local b = load(c, id)
  if not b or b.place ~= key then
    return 'holds "' .. string.sub(id, 1, 128) .. '", ' .. (b and 'whose place is another' or 'which is no batch'),
      'drop the entry', function()
        call('ZREM', key, id)
        event(c, 'stray', id, b or {}, 'list', key)
      end
  end
  local latest = c.now + (key == c.leases and LEASE_SPAN_MS or DELAY_SPAN_MS)
  if tonumber(score) > latest then
    return 'holds "' .. id .. '" until a time that never comes', 'make it due now', function()
      call('ZADD', key, integer(c.now), id)
      event(c, 'repaired', id, b, 'error', 'its time in ' .. key .. ' was ' .. score)
    end
  end
end

-- Applies what a check found. A record that cannot be mended stops nobody: it is shown.
local function mend(c, key, check, ...)
  local args = { ... }
  local done, failure = attempt(c, function()
    local problem, _, apply = check(c, unpack(args))
    if problem then apply() end
    return problem ~= nil
  end)
  if failure then broken(c, key, failure, 'nothing: it stays as it is') end
  return done
end
