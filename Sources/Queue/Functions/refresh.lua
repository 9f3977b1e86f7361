-- batchd_refresh: pushes one entry for each account to PREFIX:enqueue, unless one of them is being refreshed already. For
-- `batchd refresh`, which knows the accounts.
-- FCALL batchd_refresh 1 PREFIX PIPELINE OPERATION N {ACCOUNT ID ENTRY}*N [NOW]
--   ID  of the batch that ENTRY, an envelope, describes
-- -> [ACCOUNT, OPERATION]*M: who is being refreshed, and by which operation. Empty: all entries were pushed; otherwise none
-- Two at once never both push: PREFIX:refreshes holds 'OPERATION DEPTH ID ENTRY' of each account's last refresh; DEPTH
-- entries were to be admitted before it.
-- Needs memory, like all admission.

-- Entries may come back before it: a rejected one, what a dead worker had taken.
local SLACK = 10000

-- Whether nobody has admitted the entry yet.
local function is_waiting(c, entry, depth)
  local queue = c.p .. 'enqueue'
  if call('LPOS', queue, entry, 'RANK', '-1', 'MAXLEN', integer(depth + SLACK)) then return true end
  for _, key in ipairs({ 'workers', 'departed' }) do
    for _, worker in ipairs(call('ZRANGE', c.p .. key, 0, -1)) do
      if call('LPOS', c.p .. 'intake:' .. worker .. ':enqueue', entry) then return true end
    end
  end
  return false
end

-- The operation that refreshes the account at this moment; nil when none does.
local function under_way(c, pipeline, account)
  local record = call('HGET', c.p .. 'refreshes', pipeline .. ':' .. account)
  local operation, depth, id, entry = string.match(record or '', '^(%S+) (%d+) (%S+) (.*)$')
  if not operation then return nil end
  local status = call('HGET', c.p .. 'progress:' .. operation, 'status')
  local own = account_key(c, { operation = operation, account = account })
  if status and call('EXISTS', own) == 1 then
    return not ENDED[status] and call('HGET', own, 'status') ~= 'completed' and operation or nil
  end
  if call('EXISTS', c.batch .. id) == 1 then return nil end
  return is_waiting(c, entry, number(depth)) and operation or nil
end

define('refresh', function(p, args)
  local pipeline, operation, n = args[1], args[2], tonumber(args[3])
  if not is_name(pipeline) or not is_name(operation) or not n or not args[3 + 3 * n] then
    refuse('BADARG', 'batchd_refresh takes PIPELINE OPERATION N and for each of N accounts ACCOUNT ID ENTRY')
  end
  local c = open(p, args[4 + 3 * n])
  local busy, seen = {}, {}
  for i = 4, 3 + 3 * n, 3 do
    local account = args[i]
    if not is_name(account) or not is_name(args[i + 1]) or seen[account] then
      refuse('BADARG', 'account "' .. short(account) .. '" stands twice, or it or its ID is no name')
    end
    seen[account] = true
    local other = under_way(c, pipeline, account)
    if other then busy[#busy + 1] = { account, other } end
  end
  if #busy > 0 then return busy end
  local depth = call('LLEN', p .. 'enqueue')
  for i = 4, 3 + 3 * n, 3 do
    call('HSET', p .. 'refreshes', pipeline .. ':' .. args[i],
      table.concat({ operation, integer(depth), args[i + 1], args[i + 2] }, ' '))
    call('LPUSH', p .. 'enqueue', args[i + 2])
    depth = depth + 1
  end
  stat(c, 'refreshes')
  event(c, 'refresh', '', { operation = operation }, 'pipeline', pipeline, 'accounts', integer(n))
  flush(c)
  return {}
end, {})
