-- batchd_outbox: ended runs that the store has not acknowledged yet, for one worker to write into SQL.
-- FCALL batchd_outbox 1 PREFIX EPOCH WORKER COUNT [NOW]
-- -> per run [STREAM_ID, [FIELD, VALUE...], [ITEM, ERROR...]]
-- Consumer group 'store' of the stream PREFIX:ended: what a worker took and did not acknowledge is given to it again
-- whenever it asks (a reply was lost, the store was away, an earlier life took it), and after a minute to any other.
-- An entry that finish_batch did not write is dropped: no store could hold it.
local ENTRIES_AT_ONCE = 4
local NEEDED = { 'batch', 'run', 'status', 'operation', 'account', 'pipeline', 'stage' }

local function is_ours(fields)
  for i, name in ipairs(NEEDED) do
    if fields[2 * i - 1] ~= name or not fields[2 * i] then return false end
  end
  if not ENDED[fields[6]] or not is_count(fields[4]) or not STAGES[fields[14]] then return false end
  local times = {}
  for i = 1, #fields, 2 do times[fields[i]] = fields[i + 1] end
  return is_name(fields[2]) and is_name(fields[8]) and is_name(fields[12])
    and stamp(times.admitted_at) and stamp(times.finished_at)
end

define('outbox', function(p, args)
  local c = open(p, args[4])
  guard(c, args[1])
  local key = p .. 'ended'
  if call('XLEN', key) == 0 and call('EXISTS', key) == 0 then return {} end
  local created = redis.pcall('XGROUP', 'CREATE', key, 'store', '0')
  if created.err and not string.find(created.err, 'BUSYGROUP', 1, true) then error(created.err, 0) end
  local reply, most = {}, tonumber(args[3])
  -- An entry may tell of as many runs as a call has ended.
  local function show(entries)
    for _, entry in ipairs(entries) do
      local good = 0
      for _, fields in ipairs(entry[2] and runs_of(entry[2]) or {}) do
        if is_ours(fields) then
          good = good + 1
          local id, errors = fields[2], {}
          if entry[2][1] ~= 'runs' and call('HGET', p .. 'batch:' .. id, 'run') == fields[4] then
            errors = call('HGETALL', p .. 'errors:' .. id)
          end
          reply[#reply + 1] = { entry[1], fields, errors }
        end
      end
      if good == 0 then
        call('XACK', key, 'store', entry[1])
        call('XDEL', key, entry[1])
        -- Without fields: somebody deleted it by hand.
        if entry[2] then broken(c, key, 'the entry ' .. entry[1] .. ' is no ended run', 'it was dropped') end
      end
    end
    return #entries > 0 and #reply < most and entries[#entries][1]
  end
  local function read(from)
    local streams = call('XREADGROUP', 'GROUP', 'store', args[2], 'COUNT', ENTRIES_AT_ONCE, 'STREAMS', key, from)
    return show(streams and streams[1][2] or {})
  end
  local from = '0'
  repeat from = read(from) until not from
  if #reply == 0 then
    show(call('XAUTOCLAIM', key, 'store', args[2], 60000, '0', 'COUNT', ENTRIES_AT_ONCE)[2])
  end
  if #reply == 0 then
    repeat until not read('>')
  end
  return reply
end)
