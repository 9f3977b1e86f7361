-- The counts of an operation against its batches. Shared by the functions.
--
-- Batches that ended may be gone when their retention is over, or belong to another operation since their rerun: then
-- their ends stand in the counts alone. So when a batch is missing, the living are counted, the ends are believed, and
-- what is missing in the total has failed: its record was destroyed.

local STATUSES = { pending = true, processing = true, retrying = true, completed = true, completed_with_errors = true,
  failed = true, cancelled = true }
local ITEM_COUNTS = { 'items_total', 'items_done', 'items_failed' }

-- -> the counts of its batches, how many batches are there, how many are missing
local function tally(c, operation, members, known)
  local v, seen, there, missing = {}, {}, 0, 0
  for _, field in ipairs(COUNTS) do v[field] = 0 end
  local function add(id, may_lack)
    if seen[id] then return end
    seen[id] = true
    local b = call('HMGET', c.p .. 'batch:' .. id, 'status', 'operation', unpack(ITEM_COUNTS))
    if not STATUSES[b[1] or ''] and (b[2] == operation or not is_name(b[2]))
      and call('EXISTS', c.p .. 'batch:' .. id) == 1 and b[1] ~= 'rejected' then
      -- It lives until tick ends it with a reason.
      b[1], b[2] = 'pending', operation
    end
    if not STATUSES[b[1] or ''] or b[2] ~= operation then
      if not may_lack then missing = missing + 1 end
      return
    end
    there = there + 1
    v[b[1]] = v[b[1]] + 1
    for i, field in ipairs(ITEM_COUNTS) do v[field] = v[field] + math.max(number(b[i + 2]), 0) end
  end
  for _, id in ipairs(members) do
    if is_name(id) then add(id) end
  end
  -- A batch may be an operation of its own. Its envelope may stay behind when its record is destroyed.
  local may_lack = #members > 0 or known.pending + known.processing + known.retrying == 0
  add(operation, may_lack and call('EXISTS', c.p .. 'input:' .. operation) == 0)
  return v, there, missing
end

local function expected(c, operation, members, known)
  local v, there, missing = tally(c, operation, members, known)
  -- The list of its members is not whole: nobody can know better than counts that agree.
  if there + missing < known.total and counts_agree(known) then return known end
  v.total = there
  if missing == 0 then return v end
  v.total = 0
  for i = 2, 8 do
    local status = COUNTS[i]
    if not LIVE[status] then v[status] = math.max(v[status], known[status]) end
    v.total = v.total + v[status]
  end
  for _, field in ipairs(ITEM_COUNTS) do v[field] = math.max(v[field], known[field]) end
  if known.total > v.total and known.total <= there + missing then
    v.failed = v.failed + known.total - v.total
    v.total = known.total
  end
  return v
end

-- What the counts say, what they should, and whether that differs; nil when the operation has more than `most` batches.
local function compare_counts(c, operation, most)
  local key = c.p .. 'members:' .. operation
  if call('LLEN', key) > most then return nil end
  local known, flat = {}, call('HMGET', c.p .. 'progress:' .. operation, unpack(COUNTS))
  for i, field in ipairs(COUNTS) do known[field] = math.max(number(flat[i]), 0) end
  local right, differs = expected(c, operation, call('LRANGE', key, 0, -1), known), false
  for i = 1, #COUNTS - 1 do
    if flat[i] ~= integer(right[COUNTS[i]]) then differs = true end
  end
  return right, differs
end

-- Counts the batches of an operation anew.
-- -> whether that changed anything; nil when it has more than `most`
recount = function(c, operation, most)
  local right, differs = compare_counts(c, operation, most)
  if not right or not differs then return right and false end
  local write = {}
  for i = 1, #COUNTS - 1 do
    write[#write + 1] = COUNTS[i]
    write[#write + 1] = integer(right[COUNTS[i]])
  end
  call('HSET', c.p .. 'progress:' .. operation, unpack(write))
  commit_one(c, operation, {})
  broken(c, c.p .. 'progress:' .. operation, 'its counts were not those of its batches', 'they were counted anew')
  return true
end
