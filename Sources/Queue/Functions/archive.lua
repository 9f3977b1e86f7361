-- batchd_archive: the store holds these runs; their retention starts.
-- FCALL batchd_archive 1 PREFIX EPOCH RETENTION_MS FAILED_RETENTION_MS N {STREAM_ID ID RUN}*N [NOW]
-- -> number of runs acknowledged
-- A batch's keys expire after its own end, the keys of its operation last of all, and never while it lives.
local function expire_operation(c, operation, keep)
  local key = c.p .. 'progress:' .. operation
  local known = call('HMGET', key, 'status', 'keep_until')
  if not known[1] then return end
  keep = math.max(keep, number(known[2]))
  call('HSET', key, 'keep_until', integer(keep))
  if not ENDED[known[1]] then return end
  local last = integer(keep + 1000)
  for _, account in ipairs(call('SMEMBERS', c.p .. 'accounts:' .. operation)) do
    call('PEXPIREAT', key .. ':' .. account, last)
  end
  call('PEXPIREAT', key, last)
  call('PEXPIREAT', c.p .. 'accounts:' .. operation, last)
  call('PEXPIREAT', c.p .. 'members:' .. operation, last)
end

define('archive', function(p, args)
  local n, keeps, runs, archived = tonumber(args[4]), {}, {}, 0
  local c = open(p, args[5 + 3 * n])
  guard(c, args[1])
  for i = 1, n do
    local entry, id, run = unpack(args, 3 * i + 2, 3 * i + 4)
    call('XACK', p .. 'ended', 'store', entry)
    archived = archived + call('XDEL', p .. 'ended', entry)
    local b = load(c, id)
    if b and b.run == run and ENDED[b.status] and is_name(b.operation) then
      local keep = c.now + tonumber(b.status == 'failed' and args[3] or args[2])
      call('PEXPIREAT', p .. 'batch:' .. id, integer(keep))
      for _, key in ipairs(side_keys(c, id, b)) do call('PEXPIREAT', key, integer(keep)) end
      keeps[b.operation] = math.max(keep, keeps[b.operation] or 0)
      runs[b.operation] = (runs[b.operation] or 0) + 1
    end
  end
  for operation, keep in pairs(keeps) do
    expire_operation(c, operation, keep)
    -- More than came, so that the list shrinks to what lives.
    forget_members(c, operation, 2 * runs[operation])
  end
  return archived
end)
