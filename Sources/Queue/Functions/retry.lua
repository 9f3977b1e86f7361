-- batchd_retry: runs an ended batch again: its unfinished or failed items, from the failed or the given stage.
-- FCALL batchd_retry 1 PREFIX ID [STAGE] [NOW]
-- -> 'retrying run N from STAGE'; errors: NOTFOUND, LIVE, DONE (nothing to do again), BADARG, BROKEN
-- Outputs of items that were done stay and are merged with the new ones; a new run begins.
local function first_stage(id, b, wanted)
  -- Where the first item failed: never behind the stage it came to.
  local from = has_stage(b, b.failed_stage or '') and b.failed_stage or b.stage
  if not wanted then return from end
  if not has_stage(b, wanted) then
    refuse('BADARG', 'stage "' .. wanted .. '" is not one of pipeline ' .. b.pipeline .. ': ' .. b.stages)
  end
  if STAGES[wanted] > STAGES[from] then
    refuse('BADARG', 'batch "' .. id .. '" has unfinished items since stage ' .. from .. ': retry from there or earlier')
  end
  return wanted
end

-- Forgets what failed items produced from `from` on, so that they run again.
-- Returns how many items of the counted stage stay done.
local function reopen_items(c, id, b, from)
  local items, freed = call('HKEYS', c.p .. 'errors:' .. id), 0
  for stage in string.gmatch(b.stages, '[^,]+') do
    if STAGES[stage] >= STAGES[from] then
      for _, item in ipairs(items) do freed = freed + call('HSTRLEN', c.p .. 'items:' .. id .. ':' .. stage, item) end
      for at = 1, #items, 1000 do
        call('HDEL', c.p .. 'items:' .. id .. ':' .. stage, unpack(items, at, math.min(at + 999, #items)))
      end
    end
  end
  count_bytes(c, id, -freed)
  call('DEL', c.p .. 'errors:' .. id)
  if not b.counts or STAGES[from] > STAGES[b.counts] then return number(b.items_done) end
  -- Items that counted as done only because their stage returned are done again.
  return call('HLEN', c.p .. 'items:' .. id .. ':' .. b.counts)
end

define('retry', function(p, args)
  local id, wanted = args[1], args[2]
  local given = args[3]
  if wanted and string.match(wanted, '^%d+$') then wanted, given = nil, wanted end
  if not id or id == '' then
    refuse('BADARG', 'batchd_retry needs an id: FCALL batchd_retry 1 PREFIX ID [STAGE]')
  end
  local c = open(p, given)
  local b = load(c, id)
  if not b then refuse('NOTFOUND', 'batch "' .. id .. '" is not known: never admitted, or forgotten since its end; batchd explain ' .. id
    .. ' looks further') end
  if b.status == 'rejected' then
    refuse('BADARG', 'batch "' .. id .. '" was rejected: ' .. (b.error or '') .. '; see batchd_reenter')
  end
  if not ENDED[b.status] then
    refuse('LIVE', 'batch "' .. id .. '" is ' .. b.status .. '; only an ended batch can be retried: wait, or cancel it first')
  end
  local why = stages_flaw(b)
  if why then
    refuse('BROKEN', 'the record of batch "' .. id .. '" is broken: ' .. why .. '; enqueue it again with "rerun":true')
  end
  local from = first_stage(id, b, wanted)
  if b.status == 'completed' then
    refuse('DONE', 'batch "' .. id .. '" completed with nothing left to do; to do all of it again, enqueue it with "rerun":true')
  end
  local done = reopen_items(c, id, b, from)
  if call('EXISTS', p .. 'progress:' .. b.operation) == 1 then
    count(c, b.operation, 'items_failed', -number(b.items_failed))
    count(c, b.operation, 'items_done', done - number(b.items_done))
    become(c, b, 'pending')
  else
    -- The operation's own retention was over: it begins anew with this batch.
    b.status = 'pending'
    count(c, b.operation, 'total', 1)
    count(c, b.operation, 'pending', 1)
    count(c, b.operation, 'items_total', number(b.items_total))
    count(c, b.operation, 'items_done', done)
  end
  b.run, b.stage, b.crashes = integer(number(b.run) + 1), from, nil
  enter(c, id, b)
  local key = p .. 'batch:' .. id
  call('HSET', key, 'status', b.status, 'place', b.place, 'stage', from, 'run', b.run, 'attempt', '0',
    'retry_count', '0', 'items_failed', '0', 'items_done', integer(done),
    'updated_at', c.at)
  call('HDEL', key, 'error', 'finished_at', 'started_at', 'settled', 'crashes', 'alone', 'cancel',
    'item_errors', 'failed_stage', 'worker', 'fence')
  call('PERSIST', key)
  for _, side in ipairs(side_keys(c, id, b)) do call('PERSIST', side) end
  call('ZREM', p .. 'failed', id)
  if b.account then
    call('HINCRBY', account_key(c, b), 'ended', -1)
    call('HSET', account_key(c, b), 'status', 'processing')
    call('HDEL', account_key(c, b), 'finished_at')
  end
  event(c, 'retried', id, b)
  commit(c)
  return 'retrying run ' .. b.run .. ' from ' .. from
end)
