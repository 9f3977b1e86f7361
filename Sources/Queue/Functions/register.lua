-- batchd_register: a worker says who it is and which pipelines it serves; sweeps what its earlier life left. Each worker
-- does so first of all in each epoch, for Redis may have forgotten it.
-- FCALL batchd_register 1 PREFIX EPOCH WORKER BOOT HOST PID VERSION STORE SLOTS LISTS N {NAME STAGES COUNTS}*N
--       M {LIMIT VALUE}*M [NOW]
--   BOOT    LOCK/random per process, LOCK the reach of the host-local lock of names; STORE  identity of the results store; LISTS  'PIPELINE:STAGE ...' served
--   STAGES  'setup,extraction,...'; COUNTS  the stage whose items are counted; LIMIT  a field of PREFIX:meta
-- -> per pipeline that a living worker serves with other stages PIPELINE, STAGES, the other WORKER and its STAGES, one
--    after the other; new batches go through the stages that were registered last
-- -> errors: TWIN (a live worker of that name elsewhere), STORE (another results store is on record)
-- Two machines may bear one name: clones. A worker's earlier life is known by the reach of its host-local lock, which
-- proves that it is dead; of anybody else only silence proves it.
local function lock_of(boot)
  return string.match(boot, '^(.*)/[^/]*$') or ''
end

-- As many as the last to be heard: a crowd of them must not make each other's start slow.
local COMPARED_WORKERS = 100

-- What living workers serve: by pipeline the name of each and its stages, 'setup,extraction,...'.
local function served(c, worker)
  local found = {}
  local living = call('ZRANGE', c.p .. 'workers', '+inf', integer(c.now - 30000), 'BYSCORE', 'REV', 'LIMIT', 0,
    COMPARED_WORKERS)
  for _, other in ipairs(living) do
    local lists, own = other ~= worker and call('HGET', c.p .. 'worker:' .. other, 'pipelines') or '', {}
    for pipeline, stage in string.gmatch(lists, '([^%s:]+):(%S+)') do
      own[pipeline] = (own[pipeline] and own[pipeline] .. ',' or '') .. stage
    end
    for pipeline, stages in pairs(own) do
      found[pipeline] = found[pipeline] or {}
      table.insert(found[pipeline], { other, stages })
    end
  end
  return found
end

-- Tells of the first living worker that serves other stages of the pipeline than the caller.
local function compare_stages(c, worker, pipeline, stages, others, told)
  for _, other in ipairs(others or {}) do
    if other[2] ~= stages then
      event(c, 'stages_differ', '', {}, 'worker', worker, 'pipeline', pipeline, 'stages', stages, 'other', other[1],
        'other_stages', other[2])
      for _, word in ipairs({ pipeline, stages, other[1], other[2] }) do told[#told + 1] = word end
      return
    end
  end
end

define('register', function(p, args)
  local epoch, worker, boot, host, pid, version, store = unpack(args, 1, 7)
  local slots, lists, n = args[8], args[9], tonumber(args[10])
  local at = 11 + 3 * n
  local m = tonumber(args[at])
  local c = open(p, args[at + 1 + 2 * m])
  guard(c, epoch)
  local key = p .. 'worker:' .. worker
  local other = call('HMGET', key, 'host', 'pid', 'boot')
  local beat = number(call('ZSCORE', p .. 'workers', worker))
  if other[3] and (lock_of(other[3]) ~= lock_of(boot) or other[1] ~= host) and c.now - beat < 30000 then
    refuse('TWIN', 'worker ' .. worker .. ' runs on host ' .. (other[1] or '?') .. ' with pid ' .. (other[2] or '?')
      .. '; give this one another instance name, or a cloned machine an /etc/machine-id of its own')
  end
  local known = call('HGET', p .. 'store', 'identity')
  if known and known ~= store then
    refuse('STORE', 'results go to store ' .. known .. ', this worker is configured with store ' .. store
      .. '; use the same store, or HDEL ' .. p .. 'store identity to move on purpose')
  end
  call('HSET', p .. 'store', 'identity', store)
  local others, told = served(c, worker), {}
  for i = 0, n - 1 do
    local name, stages, counts = unpack(args, 11 + 3 * i, 13 + 3 * i)
    call('HSET', p .. 'pipelines', name, stages .. '|' .. counts)
    compare_stages(c, worker, name, stages, others[name], told)
  end
  for i = 0, m - 1 do
    call('HSET', p .. 'meta', args[at + 1 + 2 * i], args[at + 2 + 2 * i])
  end
  check_types(c)
  note_outage(c)
  note_clock(c)
  call('ZREM', p .. 'departed', worker)
  call('ZADD', p .. 'workers', integer(c.now), worker)
  if other[3] ~= boot then
    sweep(c, worker)
    call('DEL', key)
    event(c, 'worker_started', '', {}, 'worker', worker)
  end
  call('HSET', key, 'host', host, 'pid', pid, 'boot', boot, 'version', version, 'slots', slots, 'pipelines', lists)
  call('HSETNX', key, 'started_at', c.at)
  call('PERSIST', key)
  return told
end)
