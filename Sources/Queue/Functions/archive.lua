-- batchd_archive: the store holds these runs; their retention starts.
-- FCALL batchd_archive 1 PREFIX EPOCH RETENTION_MS FAILED_RETENTION_MS N {STREAM_ID ID RUN}*N [NOW]
--   of an entry that has the field `runs`, ID is the whole of that field and RUN is 'runs'
-- -> number of runs acknowledged; an entry that holds something else is left alone
-- A batch's keys expire after its own end, the keys of its operation last of all, and never while it lives. `last` is the
-- entry that came to the outbox last, nil when none waits there: one of them may be a run of the operation, unless all
-- its batches are among the `archived` of this call. Then the round over all operations ends it (retention.lua).
local function note_end(c, operation, keep, archived, last)
  local key = c.p .. 'progress:' .. operation
  local known = call('HMGET', key, 'status', 'keep_until', 'total')
  if not known[1] then return end
  keep = math.max(keep, number(known[2]))
  call('HSET', key, 'keep_until', integer(keep))
  if not ENDED[known[1]] then return end
  if last and archived < number(known[3]) then
    call('HSET', key, 'keep_after', last)
  else
    expire_operation(c, operation, keep)
  end
end

-- The fields of the entry that the store has; false when it holds something else, nil when it is gone: it was acknowledged
-- before.
local function kept_fields(c, entry, id, run)
  local kept = call('XRANGE', c.p .. 'ended', entry, entry)[1]
  if not kept then return nil end
  local fields = kept[2]
  local is_same = fields[1] == 'runs' and run == 'runs' or fields[1] == 'batch' and fields[4] == run
  return is_same and fields[2] == id and fields
end

define('archive', function(p, args)
  local n, keeps, ended, archived = tonumber(args[4]), {}, {}, 0
  local c = open(p, args[5 + 3 * n])
  guard(c, args[1])
  local function note(operation, keep)
    keeps[operation] = math.max(keep, keeps[operation] or 0)
    ended[operation] = (ended[operation] or 0) + 1
  end
  local function keep_run(id, run)
    local b = load(c, id)
    if not b or b.run ~= run or not ENDED[b.status] or not is_name(b.operation) then return end
    local keep = c.now + tonumber(b.status == 'failed' and args[3] or args[2])
    local at = integer(keep)
    call('PEXPIREAT', c.batch .. id, at)
    for _, key in ipairs(side_keys(c, id, b)) do call('PEXPIREAT', key, at) end
    note(b.operation, keep)
  end
  local keep = c.now + args[2]
  local at = integer(keep)
  -- While a record ends with this run, nothing has happened to the batch since (plain.lua); it has no items.
  local function keep_plain_run(id, run, times, operation)
    local plain, mark = call('HGET', c.batch .. id, 'plain') or '', ' ' .. run .. ' ' .. times
    if string.sub(plain, -#mark) ~= mark then return keep_run(id, run) end
    call('PEXPIREAT', c.batch .. id, at)
    call('PEXPIREAT', c.p .. 'input:' .. id, at)
    call('PEXPIREAT', c.p .. 'output:' .. id, at)
    note(operation, keep)
  end
  local done = {}
  for i = 1, n do
    local entry, id, run = unpack(args, 3 * i + 2, 3 * i + 4)
    local fields, runs = kept_fields(c, entry, id, run), 1
    if fields then done[#done + 1] = entry end
    if fields ~= false and run ~= 'runs' then
      keep_run(id, run)
    elseif fields ~= false then
      runs = 0
      for one, its_run, times in string.gmatch(id, '(%S+) (%d+) (%d+ %d+)') do
        runs = runs + 1
        if fields then keep_plain_run(one, its_run, times, fields[6]) else keep_run(one, its_run) end
      end
    end
    if fields then archived = archived + runs end
  end
  if #done > 0 then
    call('XACK', p .. 'ended', 'store', unpack(done))
    call('XDEL', p .. 'ended', unpack(done))
  end
  local last = call('XREVRANGE', p .. 'ended', '+', '-', 'COUNT', 1)[1]
  for operation, longest in pairs(keeps) do
    note_end(c, operation, longest, ended[operation], last and last[1])
    -- More than came, so that the list shrinks to what lives.
    forget_members(c, operation, 2 * ended[operation])
  end
  return archived
end)
