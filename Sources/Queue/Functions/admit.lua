-- batchd_admit: turns entries of the worker's intake into batches, or into rejected entries.
-- FCALL batchd_admit 1 PREFIX EPOCH WORKER N {RAW VERDICT ...}*N [NOW]
--   'reject' REASON ID               ID may be ''
--   'admit' ID OPERATION PIPELINE ACCOUNT PRIORITY DUE SIZE RERUN ITEMS     '' for what the envelope lacks;
--                                    DUE Unix ms, or '+MS' after now; RERUN '1' or ''; ITEMS a number
-- -> per entry 'admitted', 'duplicate', 'rejected' or 'gone' (another worker took it over, or an earlier call did it and
--    its reply was lost: nothing was done)
-- Entries must come in the order in which batchd_intake showed them.
local function field(value)
  return value ~= '' and value or nil
end

-- The moment in Unix milliseconds, and the same as text when the envelope names it.
local function due(c, text)
  if text == '' then return nil end
  if string.sub(text, 1, 1) == '+' then return c.now + tonumber(text) end
  return tonumber(text), rfc3339(tonumber(text))
end

local function known_pipelines(c)
  local names = call('HKEYS', c.p .. 'pipelines')
  table.sort(names)
  return table.concat(names, ', ')
end

-- A new life of an ended batch starts from nothing. Within one operation its old counts leave; another
-- operation keeps them as its history.
local function forget(c, id, old, e)
  if old.operation == e.operation then
    local operation = e.operation
    count(c, operation, old.status, -1)
    count(c, operation, 'total', -1)
    count(c, operation, 'items_total', -number(old.items_total))
    count(c, operation, 'items_done', -number(old.items_done))
    count(c, operation, 'items_failed', -number(old.items_failed))
    if old.account then
      call('HINCRBY', account_key(c, old), 'ended', -1)
      if old.account == e.account then
        e.number = old.number
      else
        call('HINCRBY', account_key(c, old), 'total_batches', -1)
      end
    end
  end
  call('ZREM', c.p .. 'failed', id)
  call('DEL', c.p .. 'batch:' .. id, unpack(side_keys(c, id, old)))
end

local function admit_one(c, raw, e, is_new)
  local stages, counts = registered(c, e.pipeline)
  if not stages then
    reject(c, raw, 'pipeline: "' .. e.pipeline .. '" is not known; known: ' .. known_pipelines(c), e.id)
    return 'rejected'
  end
  local old, run = not is_new and load(c, e.id) or nil, 1
  -- A record that cannot be worked with is no reason to ignore the entry: its end, and a new life.
  local why = old and not ENDED[old.status] and old.status ~= 'rejected' and flaw(old)
  if why then condemn(c, e.id, old, why) end
  if old and old.status ~= 'rejected' then
    if not e.rerun and not why then
      stat(c, 'duplicates')
      event(c, 'duplicate', e.id, old)
      return 'duplicate'
    end
    if not ENDED[old.status] then
      reject(c, raw, 'rerun: "' .. e.id .. '" is still ' .. old.status .. '; cancel it first or wait', e.id)
      return 'rejected'
    end
    run = number(old.run) + 1
  end
  if old then forget(c, e.id, old, e) end
  e.member = old ~= nil and old.operation == e.operation
  e.raw = raw
  create(c, e, stages, counts, run)
  return 'admitted'
end

-- Puts raw entries back into the intake, the oldest first out again.
local function put_back(key, raws, from)
  for i = #raws, from, -1 do call('RPUSH', key, raws[i]) end
end

-- Takes the entries that the intake still holds out of it: each is the oldest when its turn comes, or gone.
-- -> for each entry whether it was there
local function take_entries(key, entries)
  local raws, there, taken = #entries > 0 and call('RPOP', key, #entries) or {}, {}, 0
  for i, entry in ipairs(entries) do
    there[i] = raws[taken + 1] == entry.raw
    if there[i] then taken = taken + 1 end
  end
  put_back(key, raws, taken + 1)
  return there
end

-- The ids that no batch has, nor another entry before (a rejected one leaves a record, too): nobody need look for an old
-- life. Asked for all at once, and for each when there is one.
local function new_ids(c, entries)
  local keys, seen = {}, {}
  for i, entry in ipairs(entries) do
    if not seen[entry.id] then
      seen[entry.id] = i
      keys[#keys + 1] = c.batch .. entry.id
    end
  end
  for at = 1, #keys, 1000 do
    if call('EXISTS', unpack(keys, at, math.min(at + 999, #keys))) > 0 then return {} end
  end
  return seen
end

local function entries_of(args, n)
  local entries, at = {}, 4
  for i = 1, n do
    if args[at + 1] == 'reject' then
      entries[i] = { raw = args[at], reason = args[at + 2], id = args[at + 3] }
      at = at + 4
    else
      entries[i] = { raw = args[at], id = args[at + 2], at = at + 2 }
      at = at + 11
    end
  end
  return entries, args[at]
end

-- -> the answer to an entry that was there
local function answer(c, args, entry, is_new)
  local reason, id, done = entry.reason, entry.id, nil
  if not reason then
    local f = entry.at
    local moment, moment_text = due(c, args[f + 5])
    done, reason = attempt(c, admit_one, entry.raw, {
      id = id, operation = args[f + 1], pipeline = args[f + 2], account = field(args[f + 3]),
      priority = field(args[f + 4]), due = moment, due_at = moment_text,
      size = field(args[f + 6]), rerun = args[f + 7] == '1', items = number(args[f + 8]),
    }, is_new)
    if done then return done end
    reason, id = 'id: what is there under this id is in the way: ' .. reason, nil
  end
  reject(c, entry.raw, reason, id)
  return 'rejected'
end

define('admit', function(p, args)
  local entries, given = entries_of(args, tonumber(args[3]))
  local c = open(p, given)
  guard(c, args[1])
  if call('HLEN', p .. 'pipelines') == 0 then
    refuse('UNREGISTERED', 'no pipeline is registered: ' .. p .. 'pipelines is gone')
  end
  local key, answers = p .. 'intake:' .. args[2] .. ':enqueue', {}
  local new = new_ids(c, entries)
  local there = take_entries(key, entries)
  local ok, problem = pcall(function()
    for i, entry in ipairs(entries) do
      answers[i] = there[i] and answer(c, args, entry, new[entry.id] == i) or 'gone'
    end
  end)
  if not ok then
    -- What was not answered is not lost.
    local rest = {}
    for i = #answers + 1, #entries do
      if there[i] then rest[#rest + 1] = entries[i].raw end
    end
    put_back(key, rest, 1)
  end
  commit(c)
  if not ok then error(problem, 0) end
  return answers
end, {})
