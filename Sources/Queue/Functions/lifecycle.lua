-- The moves of a batch between its places: queue, lane, lease, end. Shared by the functions.

-- Pushes to the list of the batch's stage and sets b.place. A suspect stays one until it has made progress,
-- whatever moves it meanwhile: callers clear b.crashes before, where that is so.
local function push(c, id, b, front)
  if number(b.crashes) > 0 then
    b.place = c.p .. 'suspects:' .. b.pipeline .. ':' .. b.stage
    call('RPUSH', b.place, id)
    return
  end
  c.open_stages = nil
  b.place = queue_key(c, b)
  if front or b.priority == 'high' then
    call('RPUSH', b.place, id)
  else
    push_later(c.queued, b.place, id)
  end
end

-- Joins the account's lane, or the queue when the lane is free or there is no account. Sets b.place.
local function enter(c, id, b, front)
  if not b.account then return push(c, id, b, front) end
  local lane = lane_name(b)
  local holder = call('HGET', c.p .. 'lanes', lane)
  if holder and holder ~= id and living(load(c, holder)) then
    b.place = c.p .. 'lane:' .. lane
    call(b.priority == 'high' and 'RPUSH' or 'LPUSH', b.place, id)
    return
  end
  if holder ~= id then call('HSET', c.p .. 'lanes', lane, id) end
  if call('SISMEMBER', c.p .. 'paused', 'account:' .. b.account) == 1 then
    b.place = c.p .. 'lane:' .. lane
    call('RPUSH', b.place, id)
    return
  end
  push(c, id, b, front)
end

-- Gives a lane that nobody holds to the first who still waits in it. A waiter whose record is broken is tick's to end.
local function hand_on(c, lane)
  local key = c.p .. 'lane:' .. lane
  while true do
    local waiter = call('RPOP', key)
    if not waiter then
      call('HDEL', c.p .. 'lanes', lane)
      return
    end
    local w = load(c, waiter)
    if w and w.place == key and not flaw(w) and w.account and lane_name(w) == lane then
      call('HSET', c.p .. 'lanes', lane, waiter)
      enter(c, waiter, w)
      call('HSET', c.p .. 'batch:' .. waiter, 'place', w.place, 'updated_at', c.at)
      call('HSET', account_key(c, w), 'next_batch_to_process', w.number)
      return
    end
  end
end

-- Hands the lane of an ended batch on.
local function release(c, id, b)
  if b.account and call('HGET', c.p .. 'lanes', lane_name(b)) == id then hand_on(c, lane_name(b)) end
end

local function leave_place(c, id, b)
  if b.place == c.leases then
    c.unleased[#c.unleased + 1] = id
  elseif b.place == c.delayed and call('ZREM', b.place, id) == 0 then
    -- It may be on its way over a jump of the clock.
    call('ZREM', c.p .. 'jumped', id)
  end
  b.place = ''
end

-- Ends a run: counts, lane, outbox. `reason` becomes the batch's error.
local function finish_batch(c, id, b, status, reason)
  leave_place(c, id, b)
  local open_items = number(b.items_total) - number(b.items_done) - number(b.items_failed)
  if open_items > 0 then
    b.items_failed = integer(number(b.items_failed) + open_items)
    count(c, b.operation, 'items_failed', open_items)
  end
  become(c, b, status)
  local key = c.p .. 'batch:' .. id
  call('HSET', key, 'status', status, 'place', '', 'items_failed', number(b.items_failed),
    'finished_at', c.at, 'updated_at', c.at, 'settled', b.settled or '')
  if reason then
    b.error = reason
    call('HSET', key, 'error', reason)
  end
  call('HDEL', key, 'cancel')
  if status == 'failed' then call('ZADD', c.p .. 'failed', integer(c.now), id) end
  tell_store(c, id, b, c.at)
  stat(c, status)
  if b.account then account_ended(c, b) end
  release(c, id, b)
  event(c, 'ended', id, b, 'status', status)
end

-- Ends a batch whose record cannot be worked with. Not silently: it fails with the reason.
local function condemn(c, id, b, why)
  local key, place = c.p .. 'batch:' .. id, b.place
  make_sane(c, id, b)
  call('ZREM', c.leases, id)
  call('ZREM', c.delayed, id)
  -- Where its status is lost nobody knows which count holds it: then they do not agree, and are counted anew.
  b.status = b.status or ''
  finish_batch(c, id, b, 'failed', 'broken record: ' .. why .. '; enqueue it again with "rerun":true')
  broken(c, key, why, 'the batch was failed' .. (place and '; its place was ' .. string.sub(place, 1, 200) or ''))
end

-- ---------------------------------------------------------------------------- leases

local function is_of_epoch(c, fence)
  return string.find(fence, c.epoch_mark, 1, true) == 1
end

-- Whether this fence holds the batch's lease. One of an older epoch holds nothing: Redis may have forgotten who
-- came after it.
local function holds(c, b, fence)
  return b.place == c.leases and b.fence == fence and is_of_epoch(c, fence)
end

-- The batch when the caller still holds its lease; otherwise nil and the batch as it is.
local function held(c, id, run, stage, fence)
  local b = load(c, id)
  if not b or not holds(c, b, fence) or b.run ~= run or b.stage ~= stage then return nil, b end
  local why = stuck(b)
  if not why then return b end
  condemn(c, id, b, why)
  return nil, b
end

local function settle_mark(run, stage, fence, answer)
  return run .. '/' .. stage .. '/' .. fence .. '=' .. answer
end

-- A settlement that was answered before is answered alike: its reply may have been lost on the way.
local function settled_before(b, run, stage, fence)
  local mark = settle_mark(run, stage, fence, '')
  if b and b.settled and string.sub(b.settled, 1, #mark) == mark then
    return string.sub(b.settled, #mark + 1)
  end
  return nil
end

-- A lease that ended without a word. The first time nobody knows who of all that ran in the worker was to blame:
-- everyone becomes a suspect, to be run one at a time; from then on only the one that ran alone is charged.
local function crashed(c, id, b, max_crashes)
  local crashes = number(b.crashes)
  if crashes == 0 or b.alone == '1' then crashes = crashes + 1 end
  stat(c, 'leases_lost')
  if b.cancel then
    finish_batch(c, id, b, 'cancelled', 'cancelled')
  elseif crashes >= max_crashes then
    b.crashes = integer(crashes)
    call('HSET', c.p .. 'batch:' .. id, 'crashes', b.crashes)
    finish_batch(c, id, b, 'failed', 'poison: its worker died ' .. b.crashes
      .. ' times while it ran; the last was ' .. (b.worker or 'unknown')
      .. ': its log says why; mend the cause, then retry the batch')
  else
    call('ZREM', c.leases, id)
    b.place = c.p .. 'suspects:' .. b.pipeline .. ':' .. b.stage
    call('RPUSH', b.place, id)
    call('HSET', c.p .. 'batch:' .. id, 'place', b.place, 'crashes', integer(crashes), 'updated_at', c.at)
    event(c, 'crashed', id, b, 'worker', b.worker or '', 'crashes', integer(crashes))
  end
end

-- Whether the lease is of an older epoch: Redis may have forgotten what came after it.
local function older(c, b)
  return not is_of_epoch(c, b.fence or '')
end

-- A lease that a new epoch ended: back to the front, uncharged.
local function requeue(c, id, b)
  if b.cancel then
    finish_batch(c, id, b, 'cancelled', 'cancelled')
    return true
  end
  leave_place(c, id, b)
  push(c, id, b, true)
  call('HSET', c.p .. 'batch:' .. id, 'place', b.place, 'updated_at', c.at)
  event(c, 'requeued', id, b)
  return true
end

-- What a handler needs beside the batch's own fields: the item ids done in this stage and failed for good.
local function item_lists(c, id, b)
  if number(b.items_total) == 0 then return {}, {} end
  local failed = b.item_errors and call('HKEYS', c.p .. 'errors:' .. id) or {}
  return call('HKEYS', c.p .. 'items:' .. id .. ':' .. b.stage), failed
end

local function paused_here(c, pipeline, stage)
  local key = c.p .. 'paused'
  if call('EXISTS', key) == 0 then return false end
  for _, hit in ipairs(call('SMISMEMBER', key, 'all', 'pipeline:' .. pipeline,
    'stage:' .. pipeline .. ':' .. stage)) do
    if hit == 1 then return true end
  end
  return false
end

-- Where the answer to the last claim of one lane is kept.
local function claimed_key(c, worker, list, lane)
  return c.p .. 'claimed:' .. worker .. ':' .. list .. ((lane or '1') ~= '1' and ':' .. lane or '')
end

-- What one call takes out of one intake: they hold a few dozen, unless somebody filled them by hand.
local SWEEP_MOST = 1000

-- Returns what a worker's intakes hold to the lists they came from, oldest first out again, and what it took from the
-- outbox.
local function sweep(c, worker)
  return_outbox(c, worker)
  local base = c.p .. 'intake:' .. worker .. ':'
  local function empty(name, list)
    for _ = 1, SWEEP_MOST do
      if not call('LMOVE', base .. name, list, 'LEFT', 'RIGHT') then return end
    end
  end
  empty('enqueue', c.p .. 'enqueue')
  for _, pipeline in ipairs(call('HKEYS', c.p .. 'pipelines')) do
    for stage in string.gmatch(registered(c, pipeline) or '', '[^,]+') do
      local list = pipeline .. ':' .. stage
      empty(list, c.p .. 'queue:' .. list)
      for _, lane in ipairs({ '1', '2', '3', 'suspects' }) do call('DEL', claimed_key(c, worker, list, lane)) end
    end
  end
end

-- Takes a worker off the list. tick sweeps its intakes for an hour more: a blocked call of a host that vanished may
-- still swallow a push.
local function depart(c, worker)
  call('ZREM', c.p .. 'workers', worker)
  call('ZADD', c.p .. 'departed', integer(c.now), worker)
  call('EXPIRE', c.p .. 'worker:' .. worker, 86400)
end

-- Keys of one batch beside its hash.
local function side_keys(c, id, b)
  local keys = { c.p .. 'input:' .. id, c.p .. 'output:' .. id, c.p .. 'errors:' .. id }
  for stage in string.gmatch(b.stages or '', '[^,]+') do
    keys[#keys + 1] = c.p .. 'items:' .. id .. ':' .. stage
  end
  return keys
end

-- ---------------------------------------------------------------------------- time

-- Keeps what the clock showed, for those who come after a step.
local function note_clock(c)
  call('HSET', c.p .. 'meta', 'clock_ms', integer(c.now))
end

-- By how many milliseconds the clock has stepped back since somebody noted it; 0 when it has not. A step forward looks
-- like silence.
local function stepped_back(c)
  local noted = number(call('HGET', c.p .. 'meta', 'clock_ms'))
  return noted - c.now > CLOCK_TOLERANCE_MS and noted - c.now or 0
end

-- Notices that no worker at all was heard for longer than any beat: then perhaps it was Redis, or the way to it, that
-- was away.
local function note_outage(c)
  local last = call('ZRANGE', c.p .. 'workers', -1, -1, 'WITHSCORES')[2]
  local quiet = tonumber(call('HGET', c.p .. 'meta', 'quiet_ms'))
  if last and quiet and c.now - tonumber(last) > quiet then
    call('HSET', c.p .. 'meta', 'outage_ms', integer(c.now))
    event(c, 'outage', '', {}, 'silent_ms', integer(c.now - last))
  end
end

-- Until when an outage excuses leases that nobody renewed, in Unix milliseconds; 0 when there was none. Whoever outlived
-- it says so within a beat; whoever did not has died, and it was no outage.
local function outage_grace(c)
  local meta = call('HMGET', c.p .. 'meta', 'outage_ms', 'quiet_ms')
  return meta[1] and number(meta[1]) + number(meta[2]) or 0
end

-- Takes delayed batches over a jump of the clock, some at a time: each waits as long as it would have. An envelope's
-- `at` means the clock as it is; and what began to wait between a step forward and its discovery (since jump_from, when
-- the old clock had not come so far) waits by the new one already.
-- Returns how many there were.
local function follow_clock(c)
  local jump = call('HMGET', c.p .. 'meta', 'jump_ms', 'jump_from')
  if not jump[1] and call('EXISTS', c.p .. 'jumped') == 0 then return 0 end
  local by = number(jump[1])
  local old_end = by > 0 and stamp(jump[2])
  local popped = call('ZPOPMIN', c.p .. 'jumped', 1000)
  for i = 1, #popped, 2 do
    local b = call('HMGET', c.p .. 'batch:' .. popped[i], 'status', 'due_at', 'updated_at')
    local stays = (b[1] == 'pending' and b[2]) or (old_end and (stamp(b[3]) or '') > old_end)
    local due = popped[i + 1] + (stays and 0 or by)
    call('ZADD', c.delayed, due == due and math.abs(due) < 1e15 and integer(due) or integer(c.now), popped[i])
  end
  if #popped == 0 then call('HDEL', c.p .. 'meta', 'jump_ms', 'jump_from') end
  return #popped / 2
end

-- When tick has something to do next, in Unix milliseconds; 0 for nothing.
local function next_deadline(c)
  flush(c)
  -- A score may be anything, infinite too.
  local function first(key)
    local score = tonumber(call('ZRANGE', key, 0, 0, 'WITHSCORES')[2])
    return score and score < 1e15 and math.max(score, 1) or nil
  end
  local delayed, lease = first(c.delayed), first(c.leases)
  if call('SCARD', c.p .. 'cancelling') > 0 or call('EXISTS', c.p .. 'jumped') == 1
    or call('HGET', c.p .. 'meta', 'reaped_epoch') ~= c.epoch then
    return c.now
  end
  return math.min(delayed or lease or 0, lease or delayed or 0)
end

-- ---------------------------------------------------------------------------- cancelling

-- 'cancelled' now, 'cancelling' (under a lease: at its next renewal or checkpoint), 'ended' before, or nil.
local function cancel_one(c, id, operation)
  local b = load(c, id)
  if not b or not b.stages or (operation and b.operation ~= operation) then return nil end
  if not living(b) then return 'ended' end
  if flaw(b) then return nil end
  if b.place == c.leases then
    call('HSET', c.p .. 'batch:' .. id, 'cancel', '1')
    return 'cancelling'
  end
  finish_batch(c, id, b, 'cancelled', 'cancelled')
  return 'cancelled'
end

-- The next members of an operation that is being cancelled: bounded, so that a million do not stop Redis.
local function cancel_members(c, operation, counts)
  local key, from = c.p .. 'members:' .. operation, c.p .. 'cancelling'
  local at = math.max(number(call('HGET', c.p .. 'meta', 'cancel:' .. operation)), 0)
  local ids = call('LRANGE', key, at, at + 999)
  for _, id in ipairs(ids) do
    local what = cancel_one(c, id, operation)
    if what then counts[what] = (counts[what] or 0) + 1 end
  end
  if #ids == 1000 then
    call('SADD', from, operation)
    call('HSET', c.p .. 'meta', 'cancel:' .. operation, at + 1000)
  else
    call('SREM', from, operation)
    call('HDEL', c.p .. 'meta', 'cancel:' .. operation)
  end
  return #ids
end

local function cancel_more(c)
  local operation = call('SRANDMEMBER', c.p .. 'cancelling')
  return operation and cancel_members(c, operation, {}) or 0
end
