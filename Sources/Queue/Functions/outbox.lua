-- batchd_outbox: ended runs that the store has not acknowledged yet, for one worker to write into SQL.
-- FCALL batchd_outbox 1 PREFIX EPOCH WORKER COUNT [NOW]
-- -> per entry [STREAM_ID, [FIELD, VALUE...], [ITEM, ERROR...]]; COUNT or some more runs. An entry is one run, or has the
--    field `runs` (runs.lua)
-- Consumer group 'store' of the stream PREFIX:ended: what a worker took and did not acknowledge is given to it again
-- whenever it asks (a reply was lost, the store was away, an earlier life took it), and after a minute to any other.
-- An entry that finish_batch did not write is dropped: no store could hold it.
local ENTRIES_AT_ONCE = 4
local NEEDED = { 'batch', 'run', 'status', 'operation', 'account', 'pipeline', 'stage' }
local NEEDED_TOGETHER = { 'runs', 'status', 'operation', 'pipeline', 'stage', 'finished_at' }

local function has_fields(fields, needed)
  for i, name in ipairs(needed) do
    if fields[2 * i - 1] ~= name or not fields[2 * i] then return false end
  end
  return true
end

-- How many runs the entry tells of; 0 when neither tell_store nor tell_ended wrote it.
local function run_count(fields)
  if has_fields(fields, NEEDED_TOGETHER) then
    local _, lines = string.gsub(fields[2], '[^\n]+', '')
    local id, rest = string.match(fields[2], '^(%S+) (%d+ %d+ %d+)')
    return rest and is_name(id) and fields[4] == 'completed' and is_name(fields[6]) and is_name(fields[8])
      and STAGES[fields[10]] and stamp(fields[12]) and lines or 0
  end
  if not has_fields(fields, NEEDED) or not ENDED[fields[6]] or not is_count(fields[4]) or not STAGES[fields[14]] then
    return 0
  end
  local times = {}
  for i = 1, #fields, 2 do times[fields[i]] = fields[i + 1] end
  return is_name(fields[2]) and is_name(fields[8]) and is_name(fields[12])
    and stamp(times.admitted_at) and stamp(times.finished_at) and 1 or 0
end

define('outbox', function(p, args)
  local c = open(p, args[4])
  guard(c, args[1])
  local key = p .. 'ended'
  if call('XLEN', key) == 0 and call('EXISTS', key) == 0 then return {} end
  local created = redis.pcall('XGROUP', 'CREATE', key, 'store', '0')
  if created.err and not string.find(created.err, 'BUSYGROUP', 1, true) then error(created.err, 0) end
  local reply, runs, most = {}, 0, tonumber(args[3])
  local function show(entries)
    for _, entry in ipairs(entries) do
      local fields = entry[2]
      local count = fields and run_count(fields) or 0
      if count == 0 then
        call('XACK', key, 'store', entry[1])
        call('XDEL', key, entry[1])
        -- Without fields: somebody deleted it by hand.
        if fields then broken(c, key, 'the entry ' .. entry[1] .. ' is no ended run', 'it was dropped') end
      else
        local errors = {}
        if fields[1] == 'batch' and call('HGET', c.batch .. fields[2], 'run') == fields[4] then
          errors = call('HGETALL', p .. 'errors:' .. fields[2])
        end
        reply[#reply + 1] = { entry[1], fields, errors }
        runs = runs + count
      end
    end
    return #entries > 0 and runs < most and entries[#entries][1]
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
