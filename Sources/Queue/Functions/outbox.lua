-- batchd_outbox: ended runs that the store has not acknowledged yet, for one worker to write into SQL.
-- FCALL batchd_outbox 1 PREFIX EPOCH WORKER COUNT [NOW]
-- -> per run [STREAM_ID, [FIELD, VALUE...], [ITEM, ERROR...]]
-- Consumer group 'store' of the stream PREFIX:ended: what a worker took and did not acknowledge is given to it again
-- whenever it asks (a reply was lost, the store was away, an earlier life took it), and after a minute to any other.
-- An entry that finish_batch did not write is dropped: no store could hold it.
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
  local function read(from)
    local streams = call('XREADGROUP', 'GROUP', 'store', args[2], 'COUNT', args[3], 'STREAMS', key, from)
    return streams and streams[1][2] or {}
  end
  local entries = read('0')
  if #entries == 0 then
    entries = call('XAUTOCLAIM', key, 'store', args[2], 60000, '0', 'COUNT', args[3])[2]
  end
  if #entries == 0 then entries = read('>') end
  local reply = {}
  for _, entry in ipairs(entries) do
    if entry[2] and is_ours(entry[2]) then
      local id, errors = entry[2][2], {}
      if call('HGET', p .. 'batch:' .. id, 'run') == entry[2][4] then
        errors = call('HGETALL', p .. 'errors:' .. id)
      end
      reply[#reply + 1] = { entry[1], entry[2], errors }
    else
      -- Without fields: somebody deleted it by hand.
      call('XACK', key, 'store', entry[1])
      call('XDEL', key, entry[1])
      if entry[2] then broken(c, key, 'the entry ' .. entry[1] .. ' is no ended run', 'it was dropped') end
    end
  end
  return reply
end)
