-- batchd_outbox: ended runs that the store has not acknowledged yet, for one worker to write into SQL.
-- FCALL batchd_outbox 1 PREFIX EPOCH WORKER COUNT [NOW]
-- -> per run [STREAM_ID, [FIELD, VALUE...], [ITEM, ERROR...]]
-- Consumer group 'store' of the stream PREFIX:ended: what a worker took and did not acknowledge is given to it again
-- whenever it asks (a reply was lost, the store was away, an earlier life took it), and after a minute to any other.
define('outbox', function(p, args)
  local c = open(p, args[4])
  guard(c, args[1])
  local key = p .. 'ended'
  if call('EXISTS', key) == 0 then return {} end
  local created = redis.pcall('XGROUP', 'CREATE', key, 'store', '0')
  if created.err and not string.find(created.err, 'BUSYGROUP', 1, true) then return created end
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
    if entry[2] then
      local id, run = entry[2][2], entry[2][4]
      local errors = {}
      if call('HGET', p .. 'batch:' .. id, 'run') == run then errors = call('HGETALL', p .. 'errors:' .. id) end
      reply[#reply + 1] = { entry[1], entry[2], errors }
    else
      -- Somebody deleted it by hand.
      call('XACK', key, 'store', entry[1])
    end
  end
  return reply
end)
