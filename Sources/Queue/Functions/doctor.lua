-- batchd_doctor: looks at single records, for a person; mends what is broken when asked to.
-- FCALL batchd_doctor 1 PREFIX REPAIR N {KEY MEMBER}*N [NOW]
--   REPAIR  '1' applies each remedy; '' shows it and writes nothing
--   KEY     any key under the prefix, with MEMBER '': its type; a batch, an operation's counts, or what belongs to a batch
--   MEMBER  an id in PREFIX:leases or PREFIX:delayed, or a lane of PREFIX:lanes
-- -> per finding [KEY, MEMBER, PROBLEM, REMEDY, DONE]; DONE '1' when the remedy was applied
-- The same checks as tick's; safe while workers run, for each record is looked at and mended in one step.
-- Batches of one operation that are counted in one step, some ten milliseconds.
local DOCTOR_MOST = 20000

local function check_member(c, key, member)
  if key == c.p .. 'lanes' then
    local holder = call('HGET', key, member)
    if holder then return check_holder(c, member, holder) end
  elseif key == c.leases or key == c.delayed then
    local score = call('ZSCORE', key, member)
    if score then return check_entry(c, key, member, score) end
  end
end

-- An ended run whose retention never began: the outbox lost it.
local function check_ended(c, key, id, b)
  if b.status == 'rejected' or call('TTL', key) ~= -1 or call('XLEN', c.p .. 'ended') > 0 then return end
  return 'ended, but its history was never written and it is kept for ever', 'hand it to the outbox again', function()
    make_sane(c, id, b)
    tell_store(c, id, b, stamp(b.finished_at) or c.at)
  end
end

local function check_record(c, key, id)
  if not is_name(id) then
    return 'is the record of no batch: its id is not 1 to 128 characters of A-Z a-z 0-9 . _ -',
      'move it to ' .. aside_name(key), function() set_aside(key, 'is the record of no batch') end
  end
  local b = load(c, id)
  if not b then return end
  if not living(b) then return check_ended(c, key, id, b) end
  if is_name(b.operation) and not call('ZSCORE', c.p .. 'operations', b.operation) and not flaw(b) then
    return 'its operation ' .. b.operation .. ' is not in ' .. c.p .. 'operations: tick never looks at it',
      'add the operation', function()
        call('ZADD', c.p .. 'operations', integer(c.now), b.operation)
        count(c, b.operation, 'total', 0)
      end
  end
  return check_batch(c, id, b)
end

local function check_progress(c, key, operation)
  -- The key of one account in an operation has no counts of its own.
  if not is_name(operation) then return end
  local right, differs = compare_counts(c, operation, DOCTOR_MOST)
  if not right or not differs then return end
  return 'its counts are not those of its batches', 'count them anew',
    function() recount(c, operation, DOCTOR_MOST) end
end

-- What is left of a batch whose record is gone. With an expiry it ends by itself.
local function check_side(c, key, kind, id)
  if call('TTL', key) ~= -1 or call('EXISTS', c.p .. 'batch:' .. id) == 1 then return end
  local problem = 'belongs to batch ' .. string.sub(id, 1, 128) .. ', whose record is gone'
  if kind == 'input' then
    return problem, 'enqueue this envelope again', function()
      call('LPUSH', c.p .. 'enqueue', call('GET', key))
      call('DEL', key)
    end
  end
  return problem, 'move it to ' .. aside_name(key), function() set_aside(key, problem) end
end

local function check_key(c, key, member)
  if member ~= '' then return check_member(c, key, member) end
  local problem, remedy, apply = check_type(key)
  if problem then return problem, remedy, apply end
  local kind, name = string.match(string.sub(key, #c.p + 1), '^(%l+):(.*)$')
  if kind == 'batch' then return check_record(c, key, name) end
  if kind == 'progress' then return check_progress(c, key, name) end
  if kind == 'input' or kind == 'output' or kind == 'errors' then return check_side(c, key, kind, name) end
  if kind == 'items' then return check_side(c, key, kind, string.match(name, '^[^:]*')) end
end

-- A finding that fails says so; a key of the wrong type in its way is a finding of its own.
local function look(c, key, member, repair)
  local finding
  local _, failure = attempt(c, function()
    local problem, remedy, apply = check_key(c, key, member)
    if not problem then return end
    finding = { key, member, problem, remedy, '' }
    if not repair then return end
    apply()
    finding[5] = '1'
    stat(c, 'doctored')
  end)
  if failure and not string.find(failure, 'WRONGTYPE', 1, true) then
    finding = { key, member, failure, 'none: tell the authors', '' }
  end
  commit(c)
  return finding
end

define('doctor', function(p, args)
  local n, findings = tonumber(args[2]), {}
  local c = open(p, args[3 + 2 * n])
  mends = args[1] == '1'
  for i = 1, n do findings[#findings + 1] = look(c, args[1 + 2 * i], args[2 + 2 * i], mends) end
  return findings
end)
