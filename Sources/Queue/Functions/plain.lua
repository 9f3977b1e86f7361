-- The short way of a batch to which nothing happens but its stages. Shared by the functions.
--
-- What a call reads costs most of its time. So a batch without account, items and priority has the field `plain`, with
-- all that claim and finish must know of it, until anything else is done to it: `load` deletes the field, and everybody
-- but these two loads the whole record. Without it they do, too.

-- What `plain` says, by its text: the batches of an operation share it.
local known_kinds, known_kind_count = {}, 0

local function plain_text(run, operation, pipeline)
  return run .. ' ' .. operation .. ' ' .. pipeline
end

-- {run, operation, pipeline}; nil for a text that says nothing of the sort.
local function plain_kind(text)
  local kind = known_kinds[text or '']
  if kind or not text then return kind end
  local run, operation, pipeline = string.match(text, '^(%d+) (%S+) (%S+)$')
  if not run or not is_count(run) or not is_name(operation) or not is_name(pipeline) then return nil end
  kind = { run = run, operation = operation, pipeline = pipeline }
  if known_kind_count == 1000 then known_kinds, known_kind_count = {}, 0 end
  known_kinds[text], known_kind_count = kind, known_kind_count + 1
  return kind
end

-- The batch that waits in `list`, as far as a claim must know it; nil when it is not plain.
local function plain_waiting(c, id, list, pipeline, stage)
  local v = call('HMGET', c.batch .. id, 'place', 'plain', 'status', 'stage', 'stages')
  local kind = v[1] == list and plain_kind(v[2])
  if not kind or kind.pipeline ~= pipeline or v[4] ~= stage or not LIVE[v[3]] then return nil end
  local set = stage_set(v[5] or '')
  if not set or not set[stage] then return nil end
  -- A pending one was never given a fence.
  return { plain = true, status = v[3], operation = kind.operation, stage = stage, run = kind.run,
    fence = v[3] ~= 'pending' and call('HGET', c.batch .. id, 'fence') or nil }
end

-- Gives the lease to a batch that plain_waiting found.
local function plain_lease(c, id, b, worker)
  if b.status == 'processing' then
    call('HSET', c.batch .. id, 'place', c.leases, 'fence', b.fence, 'worker', worker, 'attempt', '1', 'updated_at', c.at)
  else
    become(c, b, 'processing')
    call('HSET', c.batch .. id, 'status', 'processing', 'place', c.leases, 'fence', b.fence, 'worker', worker,
      'attempt', '1', 'started_at', c.at, 'updated_at', c.at)
  end
end

-- The batch whose lease the caller holds; nil when it is not plain, or the lease is not held.
local function plain_held(c, id, run, stage, fence)
  if string.sub(fence, 1, #c.epoch + 1) ~= c.epoch .. '-' then return nil end
  local v = call('HMGET', c.batch .. id, 'place', 'plain', 'fence', 'stage', 'stages', 'admitted_at', 'started_at')
  local kind = v[1] == c.leases and v[3] == fence and v[4] == stage and plain_kind(v[2])
  local set = kind and kind.run == run and stage_set(v[5] or '')
  if not set or not set[stage] then return nil end
  return { plain = true, operation = kind.operation, pipeline = kind.pipeline, stage = stage, following = set[stage],
    run = run, status = 'processing', admitted_at = v[6], started_at = v[7] or nil }
end

-- Moves it to the next stage: under the same lease, or into that stage's list.
local function plain_advance(c, id, b, mark, go_on, expiry)
  local from = b.stage
  b.stage = b.following
  if go_on then
    c.leased[#c.leased + 1], c.leased[#c.leased + 2] = expiry, id
    call('HSET', c.batch .. id, 'stage', b.stage, 'attempt', '1', 'settled', mark .. 'next', 'updated_at', c.at)
  else
    c.unleased[#c.unleased + 1] = id
    push(c, id, b)
    call('HSET', c.batch .. id, 'stage', b.stage, 'place', b.place, 'attempt', '0', 'settled', mark .. 'queued',
      'updated_at', c.at)
  end
  event(c, 'stage_finished', id, b, 'from', from)
end

local function plain_end(c, id, b, mark)
  c.unleased[#c.unleased + 1] = id
  become(c, b, 'completed')
  call('HSET', c.batch .. id, 'status', 'completed', 'place', '', 'settled', mark .. 'ended', 'finished_at', c.at,
    'updated_at', c.at)
  tell_store(c, id, b, c.at)
  stat(c, 'completed')
  event(c, 'ended', id, b, 'status', 'completed')
end
