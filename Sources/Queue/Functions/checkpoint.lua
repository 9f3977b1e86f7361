-- batchd_checkpoint: keeps finished items, the cursor and new batches in one step; renews the lease.
-- FCALL batchd_checkpoint 1 PREFIX EPOCH ID RUN STAGE FENCE LEASE_MS HAS_CURSOR CURSOR N {ITEM KIND VALUE}*N
--       M {CHILD}*M [NOW]
--   KIND   'done' with the item's output, 'failed' with its error; an item repeated counts once
--   CHILD  ID OPERATION PIPELINE ACCOUNT PRIORITY ITEMS RAW; an id that exists is left alone
-- -> 'held', 'lost' (nothing was kept) or 'cancelled' (the batch ended by this call; its items were kept); error OUTPUT:
--    the outputs of the batch would have more bytes than it may, nothing was kept
local function keep_items(c, id, b, args, from, n)
  local before_counts = b.counts and STAGES[b.stage] <= STAGES[b.counts]
  local done, failed, fresh, bytes = 0, 0, 0, 0
  for i = from, from + 3 * (n - 1), 3 do
    local item, kind, value = args[i], args[i + 1], args[i + 2]
    if kind == 'done' then
      local failed_before = b.item_errors and call('HEXISTS', c.p .. 'errors:' .. id, item) == 1
      if not failed_before and call('HSETNX', c.p .. 'items:' .. id .. ':' .. b.stage, item, value) == 1 then
        fresh = fresh + 1
        bytes = bytes + #value
        if b.stage == b.counts then done = done + 1 end
      end
    elseif call('HEXISTS', c.p .. 'items:' .. id .. ':' .. b.stage, item) == 0
      and call('HSETNX', c.p .. 'errors:' .. id, item, value) == 1 then
      fresh = fresh + 1
      b.item_errors = integer(number(b.item_errors) + 1)
      if before_counts then failed = failed + 1 end
    end
  end
  return done, failed, fresh, bytes
end

-- Whether there is room for the outputs that are new. To ask which ones are costs as much as to keep them: only when it
-- matters.
local function has_room_for(c, id, b, args, from, n)
  local all, new = 0, 0
  for i = from, from + 3 * (n - 1), 3 do
    if args[i + 1] == 'done' then all = all + #args[i + 2] end
  end
  if has_room(c, id, all) then return true end
  for i = from, from + 3 * (n - 1), 3 do
    if args[i + 1] == 'done' and call('HEXISTS', c.p .. 'items:' .. id .. ':' .. b.stage, args[i]) == 0 then
      new = new + #args[i + 2]
    end
  end
  return has_room(c, id, new)
end

local function admit_children(c, args, from, m)
  local created = 0
  for i = from, from + 7 * (m - 1), 7 do
    local id = args[i]
    local status = call('HGET', c.p .. 'batch:' .. id, 'status')
    if not status or status == 'rejected' then
      call('DEL', c.p .. 'batch:' .. id)
      created = created + 1
      local stages, counts = registered(c, args[i + 2])
      create(c, {
        id = id, operation = args[i + 1], pipeline = args[i + 2],
        account = args[i + 3] ~= '' and args[i + 3] or nil,
        priority = args[i + 4] ~= '' and args[i + 4] or nil,
        items = number(args[i + 5]), raw = args[i + 6],
      }, stages, counts, 1)
    end
  end
  return created
end

define('checkpoint', function(p, args)
  local epoch, id, run, stage, fence, lease_ms, has_cursor, cursor, n = unpack(args, 1, 9)
  n = tonumber(n)
  local m_at = 10 + 3 * n
  local m = tonumber(args[m_at])
  local c = open(p, args[m_at + 7 * m + 1])
  guard(c, epoch)
  local b = held(c, id, run, stage, fence)
  if not b then return 'lost' end
  for i = m_at + 1, m_at + 7 * m, 7 do
    if not registered(c, args[i + 2]) then
      refuse('PIPELINE', 'child ' .. args[i] .. ': pipeline "' .. args[i + 2] .. '" is not known; start a worker that has it')
    end
  end
  if not has_room_for(c, id, b, args, 10, n) then refuse_output(c) end
  local done, failed, fresh, bytes = keep_items(c, id, b, args, 10, n)
  count_bytes(c, id, bytes)
  -- A cancelled batch begins nothing new; its cursor stays before the children that a retry will admit.
  local created = b.cancel and 0 or admit_children(c, args, m_at + 1, m)
  local write = { 'updated_at', c.at }
  local function set(field, value)
    b[field] = value
    write[#write + 1] = field
    write[#write + 1] = value
  end
  if has_cursor == '1' and not b.cancel then call('HSET', p .. 'output:' .. id, 'cursor:' .. stage, cursor) end
  if done > 0 then
    set('items_done', integer(number(b.items_done) + done))
    count(c, b.operation, 'items_done', done)
  end
  if failed > 0 then
    set('items_failed', integer(number(b.items_failed) + failed))
    count(c, b.operation, 'items_failed', failed)
  end
  if b.item_errors then set('item_errors', b.item_errors) end
  if b.item_errors and not b.failed_stage then set('failed_stage', stage) end
  -- Only progress clears a suspect: a batch that checkpoints nothing new before each crash stays one.
  if (fresh > 0 or created > 0) and number(b.crashes) > 0 then
    set('crashes', '0')
    set('alone', '0')
  end
  call('HSET', p .. 'batch:' .. id, unpack(write))
  if b.cancel then
    finish_batch(c, id, b, 'cancelled', 'cancelled')
    commit(c)
    return 'cancelled'
  end
  call('ZADD', c.leases, integer(c.now + lease_ms), id)
  commit(c)
  return 'held'
end)
