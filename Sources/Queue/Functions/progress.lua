-- Counts of operations and accounts, written in the function that changes the states. Shared by the functions.

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

-- Shows when the operation changed last. Within a second once is enough.
local function note_change(c, operation, updated_at)
  if not updated_at or string.sub(updated_at, 1, 19) ~= string.sub(c.at, 1, 19) then
    call('ZADD', c.p .. 'operations', c.now_text, operation)
  end
end

local LIVE = { pending = true, processing = true, retrying = true }

-- The short way of a claim and its like: batches move between the living states, and nothing is derived from how many are
-- in which.
-- -> whether that was all
local function commit_moves(c, operation, change)
  local sum, moves = 0, 0
  for field, by in pairs(change) do
    if not LIVE[field] then return false end
    sum, moves = sum + by, moves + 1
  end
  -- Without any change a recount wants everything derived anew.
  if sum ~= 0 or moves == 0 then return false end
  local key, write = c.p .. 'progress:' .. operation, { 'updated_at', c.at }
  local old = call('HMGET', key, 'status', 'updated_at', 'pending', 'processing', 'retrying')
  if old[1] ~= 'processing' then return false end
  for i, field in ipairs({ 'pending', 'processing', 'retrying' }) do
    local count, by = old[i + 2] and is_count(old[i + 2]) and tonumber(old[i + 2]), change[field] or 0
    if not count or count + by < 0 then return false end
    if by ~= 0 then write[#write + 1], write[#write + 2] = field, integer(count + by) end
  end
  call('HSET', key, unpack(write))
  note_change(c, operation, old[2])
  return true
end

-- -> whether the counts agree with each other
local function commit_one(c, operation, change)
  if commit_moves(c, operation, change) then return true end
  local key = c.p .. 'progress:' .. operation
  local old = call('HMGET', key, 'status', 'started_at', 'updated_at', unpack(COUNTS))
  local v, write = {}, {}
  for i = 1, #COUNTS do
    local field, text = COUNTS[i], old[i + 3]
    local by, is_good = change[field] or 0, text and is_count(text)
    v[field] = (is_good and tonumber(text) or number(text)) + by
    if by ~= 0 or not is_good then
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
  note_change(c, operation, old[3])
  return counts_agree(v)
end

local recount
-- Batches of one operation that a function counts at once, some milliseconds; beyond that `batchd doctor` does.
local RECOUNT_MOST = 1000

-- Writes the collected changes: one hash write per operation, in the same function that changed the states, so
-- that the counts sum to the total at every instant.
local function commit(c)
  -- What the operation's end and a recount must find there.
  flush(c)
  for operation, change in pairs(c.progress) do
    -- Somebody wrote into the counts, or made a batch of his own: they are counted anew.
    if not commit_one(c, operation, change) then recount(c, operation, RECOUNT_MOST) end
  end
  c.progress = {}
end

-- Runs `body` with the call's context and what else is given, so that one broken record stops nobody else: when it fails,
-- the counts it changed are dropped.
local function attempt(c, body, ...)
  local before = c.progress
  c.progress = {}
  local ok, result = pcall(body, c, ...)
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
