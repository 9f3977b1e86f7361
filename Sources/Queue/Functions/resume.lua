-- batchd_resume: ends a pause.
-- FCALL batchd_resume 1 PREFIX all|pipeline:P|stage:P:S|account:A [NOW] -> 'resumed'; error NOTFOUND when not paused
-- The holder of a paused account's lane waits at the front of its own lane.
local function unpark(c, account)
  for _, pipeline in ipairs(call('HKEYS', c.p .. 'pipelines')) do
    local lane = pipeline .. ':' .. account
    local id = call('HGET', c.p .. 'lanes', lane)
    local b = id and load(c, id)
    if b and b.place == c.p .. 'lane:' .. lane then
      call('LREM', b.place, -1, id)
      push(c, id, b, true)
      call('HSET', c.p .. 'batch:' .. id, 'place', b.place, 'updated_at', c.at)
    end
  end
end

define('resume', function(p, args)
  local c = open(p, args[2])
  if not args[1] then refuse('BADARG', 'what to resume: all, pipeline:P, stage:P:S or account:A') end
  if call('SREM', p .. 'paused', args[1]) == 0 then
    local paused = call('SMEMBERS', p .. 'paused')
    refuse('NOTFOUND', '"' .. args[1] .. '" is not paused; paused: '
      .. (#paused > 0 and table.concat(paused, ', ') or 'nothing'))
  end
  local account = string.match(args[1], '^account:(.+)$')
  if account then unpark(c, account) end
  event(c, 'resumed', '', {}, 'what', args[1])
  return 'resumed'
end)
