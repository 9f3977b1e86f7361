-- The short way of a batch to which nothing happens but its stages. Shared by the functions.
--
-- What a call reads costs most of its time. So a batch without account, items and priority has the field `plain`, with
-- what claim and finish must know of it beside a few other fields, until anything else is done to it: `load` deletes the
-- field, and everybody but these two and archive loads the whole record. Without it they do, too.
--   in the first list   'RUN ADMITTED_MS'
--   in a later one      'FENCE STARTED_MS RUN ADMITTED_MS', the fence of the lease before
--   under a lease       'FENCE STAGE STARTED_MS RUN ADMITTED_MS'
--   ended               'ended RUN ADMITTED_MS', no lease: a repeated finish must not find one
-- All below 64 bytes, or Redis would not keep the hash compact.

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
  local b = { key = key, plain = v[2], status = v[3], operation = v[6], stage = stage, started_ms = c.now_text, run = false,
    fence = false, input = false }
  if b.status == 'processing' then
    b.fence, b.started_ms, b.plain, b.run = string.match(v[2], '^(%d+%-%d+) (%d+) ((%d+) %d+)$')
  elseif b.status == 'pending' then
    b.run = string.match(v[2], '^(%d+) %d+$')
  end
  return b.run and b or nil
end

-- Gives the lease to a batch that plain_waiting found.
local function plain_lease(c, id, b, worker)
  local text = b.fence .. ' ' .. b.stage .. ' ' .. b.started_ms .. ' ' .. b.plain
  if b.status == 'processing' then
    call('HSET', b.key, 'place', c.leases, 'fence', b.fence, 'worker', worker, 'attempt', '1', 'plain', text,
      'updated_at', c.at)
  else
    become(c, b, 'processing')
    call('HSET', b.key, 'status', 'processing', 'place', c.leases, 'fence', b.fence, 'worker', worker,
      'attempt', '1', 'plain', text, 'started_at', c.at, 'updated_at', c.at)
  end
  event_together(c, 'claimed', id, b, 'worker', worker, 'fence', b.fence)
end

-- The batch whose lease the caller holds; nil when it is not plain, or the lease is not held.
local function plain_held(c, id, run, stage, fence)
  local key = c.batch .. id
  local v = call('HMGET', key, 'plain', 'operation', 'pipeline', 'stages')
  local lease = fence .. ' ' .. stage .. ' '
  if not v[1] or string.sub(v[1], 1, #lease) ~= lease or string.sub(fence, 1, #c.epoch + 1) ~= c.epoch .. '-' then
    return nil
  end
  local started_ms, waiting, its_run, admitted_ms = string.match(string.sub(v[1], #lease + 1),
    '^(%d+) ((%d+) (%d+))$')
  local following = (stage_set(v[4] or '') or {})[stage]
  if its_run ~= run or not following or not is_common_name(v[2]) or not is_common_name(v[3]) then return nil end
  return { key = key, plain = waiting, operation = v[2], pipeline = v[3], stage = stage, run = run, following = following,
    status = 'processing', admitted_ms = admitted_ms, started_ms = started_ms }
end

-- Moves it to the next stage: under the same lease, or into that stage's list.
local function plain_advance(c, id, b, fence, mark, go_on, expiry)
  local from = b.stage
  b.stage = b.following
  if go_on then
    lease_until(c, id, expiry)
    call('HSET', b.key, 'stage', b.stage, 'attempt', '1', 'settled', mark .. 'next', 'plain',
      fence .. ' ' .. b.stage .. ' ' .. b.started_ms .. ' ' .. b.plain, 'updated_at', c.at)
  else
    c.unleased[#c.unleased + 1] = id
    push(c, id, b)
    call('HSET', b.key, 'stage', b.stage, 'place', b.place, 'attempt', '0', 'settled', mark .. 'queued',
      'plain', fence .. ' ' .. b.started_ms .. ' ' .. b.plain, 'updated_at', c.at)
  end
  event_together(c, 'stage_finished', id, b, 'from', from)
end

local function plain_end(c, id, b, mark)
  c.unleased[#c.unleased + 1] = id
  become(c, b, 'completed')
  call('HSET', b.key, 'status', 'completed', 'place', '', 'settled', mark .. 'ended', 'plain', 'ended ' .. b.plain,
    'finished_at', c.at, 'updated_at', c.at)
  tell_store_together(c, id, b)
  stat(c, 'completed')
  event_together(c, 'ended', id, b, 'status', 'completed')
end
