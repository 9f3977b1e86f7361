-- batchd_archive: the store holds these runs; their retention starts.
-- FCALL batchd_archive 1 PREFIX EPOCH RETENTION_MS FAILED_RETENTION_MS N {STREAM_ID ID RUN}*N [NOW]
-- -> number of runs acknowledged; one whose STREAM_ID holds another run is left alone
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

-- Whether the entry is the end of this run, or was acknowledged before.
local function tells_of(c, entry, id, run)
  local kept = call('XRANGE', c.p .. 'ended', entry, entry)[1]
  return not kept or (kept[2][2] == id and kept[2][4] == run)
end

local function keep_until_end(c, id, run, args)
  local b = load(c, id)
  if not b or b.run ~= run or not ENDED[b.status] or not is_name(b.operation) then return nil end
  local keep = c.now + tonumber(b.status == 'failed' and args[3] or args[2])
  call('PEXPIREAT', c.p .. 'batch:' .. id, integer(keep))
  for _, key in ipairs(side_keys(c, id, b)) do call('PEXPIREAT', key, integer(keep)) end
  return keep, b.operation
end

define('archive', function(p, args)
  local n, keeps, runs, archived = tonumber(args[4]), {}, {}, 0
  local c = open(p, args[5 + 3 * n])
  guard(c, args[1])
  for i = 1, n do
    local entry, id, run = unpack(args, 3 * i + 2, 3 * i + 4)
    if tells_of(c, entry, id, run) then
      call('XACK', p .. 'ended', 'store', entry)
      archived = archived + call('XDEL', p .. 'ended', entry)
      local keep, operation = keep_until_end(c, id, run, args)
      if keep then
        keeps[operation] = math.max(keep, keeps[operation] or 0)
        runs[operation] = (runs[operation] or 0) + 1
      end
    end
  end
  for operation, keep in pairs(keeps) do
    expire_operation(c, operation, keep)
    -- More than came, so that the list shrinks to what lives.
    forget_members(c, operation, 2 * runs[operation])
  end
  return archived
end)
