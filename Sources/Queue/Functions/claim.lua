-- batchd_claim: up to COUNT batches of one list, each with a fence and a lease.
-- FCALL batchd_claim 1 PREFIX EPOCH WORKER REQUEST PIPELINE STAGE SOURCE COUNT LEASE_MS ['short'] [NOW]
--   SOURCE   'queue': the worker's intake first, then the list; 'suspects': one that runs alone
--   REQUEST  'LANE/ID', an id of this call: the same request gets the same answer, for its first reply may have been lost.
--            LANE ('1', '2', '3', 'suspects') names those of a worker's calls of which one at most is under way
-- -> [STATE, NOW, BATCH...]; STATE 'open' or 'paused' (what the intake held went back);
--    BATCH = [id, run, attempt, fence, operation, account, number, items_total, input, cursor, alone,
--             [items done], [items failed]]; with 'short' a plain batch is two texts instead: 'ID RUN FENCE OPERATION', input
-- What a claim finds in the list that has another place is stale and dropped.
local INPUTS_AT_ONCE = 16
local NONE = {}

local function take_ids(c, worker, list, source, most)
  local ids = {}
  if source == 'queue' then
    ids = call('RPOP', c.p .. 'intake:' .. worker .. ':' .. list, most) or {}
  end
  for _, id in ipairs(call('RPOP', c.p .. source .. ':' .. list, most - #ids) or {}) do
    ids[#ids + 1] = id
  end
  return ids
end

local function describe(c, id, b)
  local input = b.input or call('GET', c.p .. 'input:' .. id) or ''
  if b.plain then return { id, b.run, '1', b.fence, b.operation, '', '0', '0', input, '', '0', NONE, NONE } end
  local done, failed = item_lists(c, id, b)
  local cursor = call('HGET', c.p .. 'output:' .. id, 'cursor:' .. b.stage)
  return { id, b.run, b.attempt, b.fence, b.operation, b.account or '', b.number or '0',
    b.items_total, input, cursor or '', b.alone or '0', done, failed }
end

-- The answer of an earlier call with the same request id, as far as its leases are still held.
local function answered_before(c, key, request, worker)
  local kept = call('GET', key)
  if not kept or string.match(kept, '^%S+') ~= request then return nil end
  local reply = { 'open', c.now }
  for id, fence in string.gmatch(kept, ' (%S+)=(%S+)') do
    local b = load(c, id)
    if b and holds(c, b, fence) and b.worker == worker then
      reply[#reply + 1] = describe(c, id, b)
    end
  end
  return reply
end

-- The holder of a paused account's lane waits at the front of its own lane.
local function park(c, id, b)
  enter(c, id, b)
  call('HSET', c.p .. 'batch:' .. id, 'place', b.place, 'updated_at', c.at)
end

-- Gives the lease; the batch's table holds what its hash does.
local function lease(c, id, b, fence, expiry, worker, alone)
  lease_until(c, id, expiry)
  if b.plain then
    b.fence = c.epoch .. '-' .. integer(fence)
    return plain_lease(c, id, b, worker)
  end
  become(c, b, 'processing')
  b.place, b.fence, b.worker = c.leases, c.epoch .. '-' .. integer(fence), worker
  if alone ~= (b.alone or '0') then
    b.alone = alone
    call('HSET', c.p .. 'batch:' .. id, 'alone', alone)
  end
  if b.attempt == '0' then b.attempt = '1' end
  local first = not b.started_at
  b.started_at = b.started_at or c.at
  call('HSET', c.p .. 'batch:' .. id, 'status', b.status, 'place', b.place, 'fence', b.fence,
    'worker', worker, 'attempt', b.attempt, 'started_at', b.started_at, 'updated_at', c.at)
  if first and b.account then account_started(c, b) end
  event(c, 'claimed', id, b, 'worker', worker, 'fence', b.fence)
end

-- How far the counter of fences lies behind what these batches were given: somebody set it back.
local function behind(c, batches)
  local most = number(c.fence)
  for _, b in ipairs(batches) do
    if b.fence then most = math.max(most, number(string.match(b.fence, '^%d+-(%d+)$'))) end
  end
  return most - number(c.fence)
end

-- Reads the envelopes. One reply stays bounded: what is beyond goes back to the front of the list in its order.
local function read_inputs(c, ids, batches, source_key)
  local bytes = 0
  for from = 1, #ids, INPUTS_AT_ONCE do
    if bytes > 8388608 then
      for back = #ids, from, -1 do
        call('RPUSH', source_key, ids[back])
        ids[back], batches[back] = nil, nil
      end
      return
    end
    local keys = {}
    for i = from, math.min(from + INPUTS_AT_ONCE - 1, #ids) do keys[#keys + 1] = c.p .. 'input:' .. ids[i] end
    for i, input in ipairs(call('MGET', unpack(keys))) do
      batches[from + i - 1].input = input or ''
      bytes = bytes + #batches[from + i - 1].input
    end
  end
end

define('claim', function(p, args)
  local epoch, worker, request, pipeline, stage, source, most, lease_ms = unpack(args, 1, 8)
  local short, given = short_answer(args, 9)
  local c = open(p, given)
  guard(c, epoch)
  local list = pipeline .. ':' .. stage
  local claimed = claimed_key(c, worker, list, string.match(request, '^(%w+)/'))
  local repeated = answered_before(c, claimed, request, worker)
  if repeated then return repeated end
  if paused_here(c, pipeline, stage) then
    while call('LMOVE', p .. 'intake:' .. worker .. ':' .. list, p .. 'queue:' .. list, 'LEFT', 'RIGHT') do end
    return { 'paused', c.now }
  end
  local source_key, some_paused = p .. source .. ':' .. list, call('EXISTS', p .. 'paused') == 1
  local ids, batches, met = {}, {}, {}
  for _, id in ipairs(take_ids(c, worker, list, source, tonumber(most))) do
    local whole = is_name(id) and not met[id]
    local b = whole and not some_paused and plain_waiting(c, id, source_key, stage) or whole and load(c, id)
    -- A stale id and its successor may stand in one list: the first is the batch, the second is dropped. One that came
    -- into the list of another stage by hand is put right by tick.
    local is_here = b and (b.plain or (b.place == source_key and living(b)))
    local why = is_here and not b.plain and flaw(b)
    if why then
      condemn(c, id, b, why)
    elseif not is_here or not b.plain and (b.pipeline ~= pipeline or b.stage ~= stage) then
      event(c, 'stray', id, b or {}, 'list', source_key)
    elseif some_paused and b.account
      and call('SISMEMBER', p .. 'paused', 'account:' .. b.account) == 1 then
      park(c, id, b)
    else
      met[id] = true
      ids[#ids + 1], batches[#batches + 1] = id, b
    end
  end
  read_inputs(c, ids, batches, source_key)
  local reply, kept = { 'open', c.now }, { request }
  if #ids > 0 then
    local fence = call('HINCRBY', p .. 'meta', 'fence', #ids + behind(c, batches)) - #ids
    local expiry = integer(c.now + lease_ms)
    for i, id in ipairs(ids) do
      lease(c, id, batches[i], fence + i, expiry, worker, source == 'suspects' and '1' or '0')
      local b = batches[i]
      kept[i + 1] = id .. '=' .. b.fence
      if short and b.plain then
        reply[#reply + 1] = id .. ' ' .. b.run .. ' ' .. b.fence .. ' ' .. b.operation
        reply[#reply + 1] = b.input
      else
        reply[#reply + 1] = describe(c, id, b)
      end
    end
    -- Long after the lease nobody asks again.
    call('SET', claimed, table.concat(kept, ' '), 'PX', 10 * lease_ms)
  end
  commit(c)
  return reply
end)
