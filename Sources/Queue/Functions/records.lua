-- Whether the record of a batch can be worked with. Shared by the functions.

local COUNTERS = { 'run', 'attempt', 'items_total', 'items_done', 'items_failed', 'retry_count', 'crashes',
  'item_errors', 'number' }
local STAMP = '^%d%d%d%d%-%d%d%-%d%dT%d%d:%d%d:%d%d%.%d%d%dZ$'

-- A time as the functions write it; nil for anything else.
local function stamp(text)
  return string.match(text or '', STAMP)
end

-- What was found good before. Every claim, checkpoint and finish asks, and most answers are the same.
local known_sets, known_count = {}, 0

-- For each stage of a pipeline the next one, '' for the last; nil when one is none.
local function stage_set(stages)
  if known_sets[stages] then return known_sets[stages] end
  local set, before = {}, nil
  for stage in string.gmatch(stages, '[^,]+') do
    if not STAGES[stage] then return nil end
    if before then set[before] = stage end
    set[stage], before = '', stage
  end
  if known_count == 100 then known_sets, known_count = {}, 0 end
  known_sets[stages], known_count = set, known_count + 1
  return set
end

local function stages_flaw(b)
  local set = stage_set(b.stages or '')
  if not set then return 'its stages are "' .. string.sub(b.stages, 1, 200) .. '"' end
  if not set[b.stage or ''] then
    return 'its stage "' .. string.sub(b.stage or '', 1, 64) .. '" is none of "' .. string.sub(b.stages or '', 1, 200) .. '"'
  end
  if b.counts and not STAGES[b.counts] then return 'it counts items of no stage' end
  return nil
end

-- Why the record of a living batch cannot be worked with; nil when it can.
local function flaw(b)
  if not LIVE[b.status or ''] then return 'its status is "' .. string.sub(b.status or '', 1, 64) .. '"' end
  if not is_common_name(b.operation) then return 'it has no operation' end
  if not is_common_name(b.pipeline) then return 'it has no pipeline' end
  if b.account and not is_common_name(b.account) then return 'its account is no name' end
  if b.account and not b.number then return 'it has an account and no number' end
  for at = 1, #COUNTERS do
    local value = b[COUNTERS[at]]
    if not value and at <= 5 then return 'it has no ' .. COUNTERS[at] end
    if value and not small_counts[value] and not is_count(value) then
      return COUNTERS[at] .. ' is "' .. string.sub(value, 1, 64) .. '", not a number'
    end
  end
  return stages_flaw(b)
end

-- Why the next move of a batch under a lease cannot be made; nil when it can. Every renewal, checkpoint and finish asks:
-- look-ups only. The rest is for claim and tick to find: `number` takes any text.
local function stuck(b)
  local set = known_sets[b.stages or '']
  if LIVE[b.status or ''] and b.operation and b.pipeline and set and set[b.stage or ''] and (b.number or not b.account) and b.run then
    return nil
  end
  return flaw(b)
end
-- Gives the record the least that its end needs. What it says that makes sense stays.
local function make_sane(c, id, b)
  local key = c.p .. 'batch:' .. id
  if not is_name(b.operation) then b.operation = id end
  if not is_name(b.pipeline) then b.pipeline = 'unknown' end
  if not is_name(b.account) then b.account = nil end
  for _, field in ipairs(COUNTERS) do
    if not b[field] or not is_count(b[field]) then b[field] = field == 'run' and '1' or '0' end
  end
  if stages_flaw(b) then b.stages, b.stage, b.counts = 'setup', 'setup', nil end
  if not stamp(b.admitted_at) then b.admitted_at = c.at end
  if not stamp(b.started_at) then b.started_at = nil end
  if not b.account then call('HDEL', key, 'account') end
  if not b.counts then call('HDEL', key, 'counts') end
  local write = {}
  for _, field in ipairs({ 'operation', 'pipeline', 'stages', 'stage', 'admitted_at', unpack(COUNTERS) }) do
    write[#write + 1] = field
    write[#write + 1] = b[field]
  end
  call('HSET', key, unpack(write))
end

-- Stages in order and the counted stage of a registered pipeline; nil for one that is unknown or garbled. Asked for once
-- a call.
local function registered(c, pipeline)
  local known = c.pipelines[pipeline]
  if known then return known.stages, known.counts end
  local text = call('HGET', c.p .. 'pipelines', pipeline)
  if not text then return nil end
  local stages, counts = string.match(text, '^([%l,]+)|(%l+)$')
  if not stages or not STAGES[counts] or stages_flaw({ stages = stages, stage = string.match(stages, '[^,]+') }) then
    return nil
  end
  c.pipelines[pipeline] = { stages = stages, counts = counts }
  return stages, counts
end
