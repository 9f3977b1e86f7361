-- Ended runs on their way through the outbox PREFIX:ended. Shared by the functions.

-- Tells the store of an ended run.
local function tell_store(c, id, b, finished_at)
  local function counted(text) return text and is_count(text) and text or '0' end
  call('XADD', c.p .. 'ended', '*', 'batch', id, 'run', counted(b.run), 'status', b.status,
    'operation', b.operation, 'account', b.account or '', 'pipeline', b.pipeline, 'stage', b.stage,
    'number', counted(b.number), 'items_total', counted(b.items_total), 'items_done', counted(b.items_done),
    'items_failed', counted(b.items_failed), 'retry_count', counted(b.retry_count), 'error', b.error or '',
    'admitted_at', stamp(b.admitted_at) or finished_at, 'started_at', stamp(b.started_at) or '', 'finished_at', finished_at)
end

-- Tells the store of an ended run of a plain batch: those of one call and one operation share an entry, whose `runs` are
-- lines 'ID RUN ADMITTED_MS STARTED_MS'. It goes through outbox and archive as it stands: nobody here takes it apart.
local function tell_store_together(c, id, b)
  local key = b.operation .. ' ' .. b.pipeline .. ' ' .. b.stage
  local group = c.ended[key]
  if not group then
    group = { b = b }
    c.ended[key] = group
  end
  group[#group + 1] = id .. ' ' .. b.run .. ' ' .. b.times
end

tell_ended = function(c)
  local groups = c.ended
  c.ended = {}
  for _, group in pairs(groups) do
    local b = group.b
    call('XADD', c.p .. 'ended', '*', 'runs', table.concat(group, '\n'), 'status', 'completed', 'operation', b.operation,
      'pipeline', b.pipeline, 'stage', b.stage, 'finished_at', c.at)
  end
end

-- What a worker took from the outbox and did not acknowledge may be given to anybody at once.
local function return_outbox(c, worker)
  local key = c.p .. 'ended'
  -- Before the first outbox there is no group: an error, which holds no entries.
  for _, entry in ipairs(redis.pcall('XPENDING', key, 'store', '-', '+', 100, worker)) do
    call('XCLAIM', key, 'store', worker, 0, entry[1], 'IDLE', 60000, 'JUSTID')
  end
end
