-- The short way of a batch to which nothing happens but its stages. Shared by the functions.
--
-- What a call reads costs most of its time. So a batch without account, items, priority and delay has the field `plain`, with
-- what claim and finish must know of it beside a few other fields, until anything else is done to it: `load` deletes the
-- field, and everybody but these two and archive loads the whole record. Without it they do, too.
--   in the first list   'RUN ADMITTED_MS'
--   in a later one      'RUN ADMITTED_MS STARTED_MS FENCE', the fence of the lease before
--   under a lease       'FENCE STAGE RUN ADMITTED_MS STARTED_MS'
--   ended               'ended RUN ADMITTED_MS STARTED_MS', no lease: a repeated finish must not find one
-- All below 64 bytes, or Redis would not keep the hash compact. What a finish does not hold by its first words it takes the
-- long way, in the end as lost.
--
-- What a call answers costs as much: a table in a reply as much as six texts. So whoever ends the call with 'short' gets
-- what concerns plain batches as text.

-- -> whether the argument at `at` asks for that, and the one after it: NOW. A worker of revision 8 does not ask.
local function short_answer(args, at)
  if args[at] == 'short' then return true, args[at + 1] end
  return false, args[at]
end

local function plain_text(c, run)
  return run .. ' ' .. c.now_text
end

-- The batch that waits in `list`, as far as a claim must know it; nil when it is not plain.
local function plain_waiting(c, id, list, stage)
  local key = c.batch .. id
  local v = call('HMGET', key, 'place', 'plain', 'status', 'stage', 'stages', 'operation')
  if v[1] ~= list or not v[2] or v[4] ~= stage or not (stage_set(v[5] or '') or {})[stage] or not is_common_name(v[6]) then
    return nil
  end
  -- With the fields that claim adds, for a table that grows costs more.
  local b = { key = key, plain = v[2], status = v[3], operation = v[6], stage = stage, run = false, fence = false,
    input = false }
  if b.status == 'processing' then
    b.plain, b.run, b.fence = string.match(v[2], '^((%d+) %d+ %d+) (%d+%-%d+)$')
  elseif b.status == 'pending' then
    b.run = string.match(v[2], '^(%d+) %d+$')
  end
  return b.run and b or nil
end

-- Gives the lease to a batch that plain_waiting found.
local function plain_lease(c, id, b, worker)
  local text = b.fence .. ' ' .. b.stage .. ' ' .. b.plain
  if b.status == 'processing' then
    call('HSET', b.key, 'plain', text, 'place', c.leases, 'updated_at', c.at, 'attempt', '1', 'fence', b.fence,
      'worker', worker)
  else
    become(c, b, 'processing')
    call('HSET', b.key, 'plain', text .. ' ' .. c.now_text, 'place', c.leases, 'status', 'processing', 'updated_at', c.at,
      'attempt', '1', 'fence', b.fence, 'worker', worker, 'started_at', c.at)
  end
  event_together(c, 'claimed', id, b, 'worker', worker, 'fence', b.fence)
end

-- The batch whose lease the caller holds; nil when it is not plain, or the lease is not held.
local function plain_held(c, id, run, stage, fence)
  local key = c.batch .. id
  local v = call('HMGET', key, 'plain', 'operation', 'pipeline', 'stages')
  local lease = fence .. ' ' .. stage .. ' ' .. run .. ' '
  if not v[1] or string.find(v[1], lease, 1, true) ~= 1 or not is_of_epoch(c, fence) then return nil end
  local following = (stage_set(v[4] or '') or {})[stage]
  if not following or not is_common_name(v[2]) or not is_common_name(v[3]) then return nil end
  local times = string.sub(v[1], #lease + 1)
  -- Only an end looks into them.
  if following == '' and not string.find(times, '^%d+ %d+$') then return nil end
  return { key = key, plain = true, operation = v[2], pipeline = v[3], stage = stage, run = run, following = following,
    status = 'processing', place = false, times = times }
end

-- Moves it to the next stage: under the same lease, or into that stage's list.
local function plain_advance(c, id, b, fence, go_on, expiry)
  local from = b.stage
  local settled = settle_mark(b.run, from, fence, go_on and 'next' or 'queued')
  b.stage = b.following
  if go_on then
    lease_until(c, id, expiry)
    -- Its attempt is the first already.
    call('HSET', b.key, 'plain', fence .. ' ' .. b.stage .. ' ' .. b.run .. ' ' .. b.times, 'stage', b.stage,
      'updated_at', c.at, 'settled', settled)
  else
    c.unleased[#c.unleased + 1] = id
    push(c, id, b)
    call('HSET', b.key, 'plain', b.run .. ' ' .. b.times .. ' ' .. fence, 'stage', b.stage, 'place', b.place,
      'attempt', '0', 'updated_at', c.at, 'settled', settled)
  end
  event_together(c, 'stage_finished', id, b, 'from', from)
end

local function plain_end(c, id, b, fence)
  c.unleased[#c.unleased + 1] = id
  become(c, b, 'completed')
  call('HSET', b.key, 'plain', 'ended ' .. b.run .. ' ' .. b.times, 'place', '', 'status', 'completed', 'updated_at', c.at,
    'settled', settle_mark(b.run, b.stage, fence, 'ended'), 'finished_at', c.at)
  tell_store_together(c, id, b)
  stat(c, 'completed')
  event_together(c, 'ended', id, b, 'status', 'completed')
end
