-- batchd_refresh: pushes one entry for each account to PREFIX:enqueue, unless one of them is being refreshed already.
-- FCALL batchd_refresh 1 PREFIX PIPELINE OPERATION N {ACCOUNT ID ENTRY}*N [NOW]
--   ID  of the batch that ENTRY, an envelope, describes
-- -> [ACCOUNT, OPERATION]*M: who is being refreshed, and by which operation. Empty: all entries were pushed; otherwise none
-- Two at once never both push: PREFIX:refreshes holds 'OPERATION AT_MS ID ENTRY' of each account's last refresh.
-- Needs memory, like all admission.

-- How long a worker that took an entry may need until it is admitted, or the intake of one that died is swept.
local ADMISSION_MS = 60000
-- Entries among which one that nobody took up is looked for, from the oldest.
local LOOK_MOST = 10000

-- The operation that refreshes the account at this moment; nil when none does.
local function under_way(c, pipeline, account)
  local record = call('HGET', c.p .. 'refreshes', pipeline .. ':' .. account)
  local operation, at, id, entry = string.match(record or '', '^(%S+) (%d+) (%S+) (.*)$')
  if not operation then return nil end
  local key = account_key(c, { operation = operation, account = account })
  if call('EXISTS', key) == 1 then return call('HGET', key, 'status') ~= 'completed' and operation or nil end
  if call('EXISTS', c.batch .. id) == 1 then return nil end
  local queue = c.p .. 'enqueue'
  local waits = math.abs(c.now - number(at)) < ADMISSION_MS or call('LLEN', queue) > LOOK_MOST
    or call('LPOS', queue, entry, 'RANK', '-1', 'MAXLEN', LOOK_MOST)
  return waits and operation or nil
end

define('refresh', function(p, args)
  local pipeline, operation, n = args[1], args[2], tonumber(args[3])
  if not is_name(pipeline) or not is_name(operation) or not n or not args[3 + 3 * n] then
    refuse('BADARG', 'batchd_refresh takes PIPELINE OPERATION N and for each of N accounts ACCOUNT ID ENTRY')
  end
  local c = open(p, args[4 + 3 * n])
  local busy = {}
  for i = 4, 3 + 3 * n, 3 do
    local other = under_way(c, pipeline, args[i])
    if other then busy[#busy + 1] = { args[i], other } end
  end
  if #busy > 0 then return busy end
  for i = 4, 3 + 3 * n, 3 do
    call('HSET', p .. 'refreshes', pipeline .. ':' .. args[i],
      table.concat({ operation, c.now_text, args[i + 1], args[i + 2] }, ' '))
    call('LPUSH', p .. 'enqueue', args[i + 2])
  end
  stat(c, 'refreshes')
  event(c, 'refresh', '', { operation = operation }, 'pipeline', pipeline, 'accounts', integer(n))
  flush(c)
  return {}
end, {})
