-- From an entry of PREFIX:enqueue to a batch or a rejected record. Shared by the functions.

-- Keeps a rejected entry with its reason: a header line, then the raw bytes. Bounded in entries and bytes.
local function reject(c, raw, reason, id)
  local limits = call('HMGET', c.p .. 'meta', 'rejected_count', 'rejected_bytes', 'rejected_held', 'retention_ms')
  local most_bytes = tonumber(limits[2]) or 16777216
  local kept = #raw <= most_bytes / 4 and raw or string.sub(raw, 1, 256)
  local record = c.at .. ' ' .. #raw .. ' ' .. (#kept == #raw and 'whole' or 'cut') .. ' '
    .. string.gsub(reason, '%c', ' ') .. '\n' .. kept
  local key = c.p .. 'rejected'
  local length = call('LPUSH', key, record)
  local bytes = number(limits[3]) + #record
  while length > (tonumber(limits[1]) or 1000) or (bytes > most_bytes and length > 1) do
    bytes = bytes - #call('RPOP', key)
    length = length - 1
    stat(c, 'rejected_trimmed')
  end
  call('HSET', c.p .. 'meta', 'rejected_held', integer(math.max(bytes, 0)))
  stat(c, 'rejected')
  if id and id ~= '' and call('EXISTS', c.p .. 'batch:' .. id) == 0 then
    call('HSET', c.p .. 'batch:' .. id, 'status', 'rejected', 'error', reason, 'finished_at', c.at)
    call('PEXPIREAT', c.p .. 'batch:' .. id, integer(c.now + (tonumber(limits[4]) or 86400000)))
  end
  event(c, 'rejected', id or '', {}, 'reason', reason)
end

-- The account's part in a new batch.
local function join_account(c, b, e)
  local key = account_key(c, b)
  b.number = e.number or integer(call('HINCRBY', key, 'total_batches', 1))
  if (call('HGET', key, 'next_batch_to_process') or '') == '' then
    call('HSET', key, 'next_batch_to_process', b.number)
  end
  local status = call('HGET', key, 'status')
  call('HSET', key, 'status', (not status or status == 'pending') and 'pending' or 'processing')
  call('HDEL', key, 'finished_at')
  call('SADD', c.p .. 'accounts:' .. b.operation, b.account)
end

-- Creates a batch from typed fields `e` (id, operation, pipeline, account, priority, due, size, items, raw),
-- which the caller has checked against the registered pipelines. `run` is its life. Counts it last: until then it may fail.
local function create(c, e, stages, counts, run)
  local b = {
    status = 'pending', stage = string.match(stages, '[^,]+'), run = integer(run), pipeline = e.pipeline,
    operation = e.operation, account = e.account, priority = e.priority, place = false,
  }
  if e.size then call('HSET', c.p .. 'progress:' .. e.operation, 'size', e.size) end
  if b.account then join_account(c, b, e) end
  call('SET', c.p .. 'input:' .. e.id, e.raw)
  if e.due and e.due > c.now then
    b.place, b.due_at = c.delayed, e.due_at
    call('ZADD', c.delayed, integer(e.due), e.id)
  else
    enter(c, e.id, b)
  end
  -- Redis looks for a field from the front: those that are read and changed most come first.
  if not b.account and not b.priority and e.items == 0 and b.place ~= c.delayed then
    call('HSET', c.batch .. e.id, 'plain', plain_text(c, b.run), 'place', b.place, 'stage', b.stage, 'status', 'pending',
      'updated_at', c.at, 'operation', b.operation, 'pipeline', b.pipeline, 'stages', stages, 'attempt', '0', 'run', b.run,
      'retry_count', '0', 'items_total', '0', 'items_done', '0', 'items_failed', '0', 'admitted_at', c.at)
  else
    local more = {}
    for field, value in pairs({ counts = e.items > 0 and counts or nil, account = b.account, priority = b.priority,
      number = b.number, due_at = b.due_at }) do
      more[#more + 1], more[#more + 2] = field, value
    end
    call('HSET', c.batch .. e.id, 'place', b.place, 'status', 'pending', 'updated_at', c.at, 'stage', b.stage, 'attempt', '0',
      'stages', stages, 'operation', b.operation, 'pipeline', b.pipeline, 'run', b.run, 'retry_count', '0', 'items_total',
      integer(e.items), 'items_done', '0', 'items_failed', '0', 'admitted_at', c.at, unpack(more))
  end
  if e.operation ~= e.id and not e.member then push_later(c.members, c.p .. 'members:' .. e.operation, e.id) end
  count(c, b.operation, 'total', 1)
  count(c, b.operation, 'pending', 1)
  if e.items > 0 then count(c, b.operation, 'items_total', e.items) end
  stat(c, 'admitted')
  event_together(c, 'admitted', e.id, b)
end

-- The records that a person named by position or 'all', newest first.
local function rejected_records(c, which, name)
  local key = c.p .. 'rejected'
  if which == 'all' then return call('LRANGE', key, 0, -1) end
  if not which or not string.match(which, '^%d+$') then
    refuse('BADARG', name .. ' needs the position of the entry (0 is the newest) or all')
  end
  local record = call('LINDEX', key, which)
  if not record then
    refuse('NOTFOUND', 'no rejected entry at position ' .. which .. '; there are ' .. call('LLEN', key)
      .. ', the newest at 0')
  end
  return { record }
end

local function forget_rejected(c, record)
  if call('LREM', c.p .. 'rejected', 1, record) == 1 then
    call('HINCRBY', c.p .. 'meta', 'rejected_held', -#record)
  end
end
