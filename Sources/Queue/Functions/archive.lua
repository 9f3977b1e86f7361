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

-- The runs of an entry, 'ID RUN' each, and how many of them this call has not named yet.
local function open_entry(c, entry)
  local kept = call('XRANGE', c.p .. 'ended', entry, entry)[1]
  -- One that is gone was acknowledged before.
  if not kept then return { is_gone = true } end
  local fields = kept[2]
  if fields[1] ~= 'runs' then return { left = 1, runs = { [(fields[2] or '') .. ' ' .. (fields[4] or '')] = true } } end
  local opened = { left = 0, runs = {} }
  for _, line in ipairs(run_lines(fields[2])) do
    opened.runs[line[1] .. ' ' .. line[2]], opened.left = true, opened.left + 1
  end
  return opened
end

local function keep_until_end(c, id, run, args)
  local v = call('HMGET', c.batch .. id, 'plain', 'run', 'status', 'operation')
  local b = v[1] and { run = v[2], status = v[3], operation = v[4] } or load(c, id)
  if not b or b.run ~= run or not ENDED[b.status] or not is_common_name(b.operation) then return nil end
  local keep = c.now + tonumber(b.status == 'failed' and args[3] or args[2])
  local at = integer(keep)
  call('PEXPIREAT', c.batch .. id, at)
  if v[1] then
    -- It has no items, and so no errors of theirs.
    call('PEXPIREAT', c.p .. 'input:' .. id, at)
    call('PEXPIREAT', c.p .. 'output:' .. id, at)
  else
    for _, key in ipairs(side_keys(c, id, b)) do call('PEXPIREAT', key, at) end
  end
  return keep, b.operation
end

define('archive', function(p, args)
  local n, keeps, runs, archived = tonumber(args[4]), {}, {}, 0
  local c = open(p, args[5 + 3 * n])
  guard(c, args[1])
  local entries, done = {}, {}
  for i = 1, n do
    local entry, id, run = unpack(args, 3 * i + 2, 3 * i + 4)
    local opened, name = entries[entry] or open_entry(c, entry), id .. ' ' .. run
    entries[entry] = opened
    if opened.is_gone or opened.runs[name] then
      if not opened.is_gone then
        opened.runs[name], opened.left = nil, opened.left - 1
        archived = archived + 1
        if opened.left == 0 then done[#done + 1] = entry end
      end
      local keep, operation = keep_until_end(c, id, run, args)
      if keep then
        keeps[operation] = math.max(keep, keeps[operation] or 0)
        runs[operation] = (runs[operation] or 0) + 1
      end
    end
  end
  if #done > 0 then
    call('XACK', p .. 'ended', 'store', unpack(done))
    call('XDEL', p .. 'ended', unpack(done))
  end
  for operation, keep in pairs(keeps) do
    expire_operation(c, operation, keep)
    -- More than came, so that the list shrinks to what lives.
    forget_members(c, operation, 2 * runs[operation])
  end
  return archived
end)
