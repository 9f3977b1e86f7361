-- batchd_pause: running work goes on to the end of its stage, nothing new starts.
-- FCALL batchd_pause 1 PREFIX all|pipeline:P|stage:P:S|account:A [NOW]   -> 'paused' or 'already paused'
local function checked(c, what)
  local usage = 'what to pause: all, pipeline:P, stage:P:S or account:A'
  if not what then refuse('BADARG', usage) end
  if not c.epoch then refuse('NOTFOUND', 'no worker ever used the prefix ' .. string.sub(c.p, 1, -2)
    .. '; start one, or name the prefix of those that run') end
  if what == 'all' then return end
  local account = string.match(what, '^account:([%w._-]+)$')
  if account and #account <= 128 then return end
  local pipeline, stage = string.match(what, '^pipeline:([%w._-]+)$'), nil
  if not pipeline then pipeline, stage = string.match(what, '^stage:([%w._-]+):(%a+)$') end
  if not pipeline then refuse('BADARG', '"' .. what .. '" is not ' .. usage) end
  local known = call('HGET', c.p .. 'pipelines', pipeline)
  if not known then
    refuse('NOTFOUND', 'pipeline "' .. pipeline .. '" is not known; known: '
      .. table.concat(call('HKEYS', c.p .. 'pipelines'), ', '))
  end
  local stages = registered(c, pipeline) or ''
  if stage and not has_stage({ stages = stages }, stage) then
    refuse('NOTFOUND', 'pipeline ' .. pipeline .. ' has no stage "' .. stage .. '"; it has: ' .. stages)
  end
end

define('pause', function(p, args)
  local c = open(p, args[2])
  checked(c, args[1])
  if call('SADD', p .. 'paused', args[1]) == 0 then return 'already paused' end
  event(c, 'paused', '', {}, 'what', args[1])
  return 'paused'
end)
