-- batchd_renew: one worker's beat. Renews its leases, tells what became of each, shows what it needs to know.
-- FCALL batchd_renew 1 PREFIX EPOCH WORKER BOOT LEASE_MS RUNNING N {ID FENCE}*N L {PIPELINE:STAGE}*L
--       C {COUNTER VALUE}*C [NOW]
-- -> [NOW, NEXT_DEADLINE, OUTBOX, [PAUSED...], [LEASE...], [BACKLOG, SUSPECTS]*L, ENQUEUED, BROKEN]
--    LEASE 'held', 'lost' or 'cancelled' (the batch ended by this call); BACKLOG counts list and own intake;
--    NEXT_DEADLINE Unix ms of the next thing for tick, 0 for none; ENQUEUED entries waiting to be admitted;
--    BROKEN broken records met since the prefix began, see the events
-- -> errors: TWIN (another process beats under this worker's name), UNREGISTERED (register again, then renew)
local function renew_one(c, id, fence, expiry)
  local b = load(c, id)
  if not b or not holds(c, b, fence) then return 'lost' end
  local why = stuck(b)
  if not why and not b.cancel then
    call('ZADD', c.leases, expiry, id)
    return 'held'
  end
  -- An end does much: whatever it meets, the other leases are renewed.
  local _, problem = attempt(c, function()
    if why then return condemn(c, id, b, why) end
    finish_batch(c, id, b, 'cancelled', 'cancelled')
  end)
  if problem then broken(c, c.p .. 'batch:' .. id, problem, 'its lease counts as lost') end
  return (why or problem) and 'lost' or 'cancelled'
end

-- Whether what register wrote is still there, and can be read.
local function is_registered(c, args, from, l)
  for i = from, from + l - 1 do
    if not registered(c, string.match(args[i], '^[^:]*')) then return false end
  end
  return call('HEXISTS', c.p .. 'meta', 'quiet_ms') == 1
end

define('renew', function(p, args)
  local epoch, worker, boot, lease_ms, running, n = unpack(args, 1, 6)
  n = tonumber(n)
  local l_at = 7 + 2 * n
  local l = tonumber(args[l_at])
  local k_at = l_at + l + 1
  local k = tonumber(args[k_at])
  local c = open(p, args[k_at + 2 * k + 1])
  guard(c, epoch)
  if stepped_back(c) > 0 then refuse('CLOCK', 'the clock stepped back since the last beat: adopt first') end
  local key = p .. 'worker:' .. worker
  local known = call('HMGET', key, 'boot', 'host')
  if known[1] and known[1] ~= boot then
    refuse('TWIN', 'worker ' .. worker .. ' was started again elsewhere (boot ' .. known[1] .. ')')
  end
  if not known[1] or not known[2] or not is_registered(c, args, l_at + 1, l) then
    refuse('UNREGISTERED', 'what worker ' .. worker .. ' registered is gone from ' .. p)
  end
  note_outage(c)
  note_clock(c)
  local expiry, leases = integer(c.now + lease_ms), {}
  for i = 1, n do
    leases[i] = renew_one(c, args[5 + 2 * i], args[6 + 2 * i], expiry)
  end
  commit(c)
  call('HSET', key, 'beat_at', c.at, 'running', running, 'boot', boot)
  -- Lua's stack takes some thousands at once.
  for i = k_at + 1, k_at + 2 * k, 1000 do
    call('HSET', key, unpack(args, i, math.min(i + 999, k_at + 2 * k)))
  end
  if call('ZADD', p .. 'workers', integer(c.now), worker) == 1 then
    -- It was taken for dead, and is back.
    call('ZREM', p .. 'departed', worker)
    call('PERSIST', key)
  end
  local waiting = {}
  for i = 1, l do
    local list = args[l_at + i]
    waiting[2 * i - 1] = call('LLEN', p .. 'queue:' .. list)
      + call('LLEN', p .. 'intake:' .. worker .. ':' .. list)
    waiting[2 * i] = call('LLEN', p .. 'suspects:' .. list)
  end
  return { c.now, next_deadline(c), call('XLEN', p .. 'ended'), call('SMEMBERS', p .. 'paused'), leases,
    waiting, call('LLEN', p .. 'enqueue') + call('LLEN', p .. 'intake:' .. worker .. ':enqueue'),
    number(call('HGET', p .. 'stats', 'broken')) }
end)
