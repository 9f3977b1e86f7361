-- The state of one gate. Shared by the gate functions; batchd_gate_take explains the grid.

local GATE_SPAN_MS = 3600000

local function gate_lost(c, id, fence)
  if id == '' then return false end
  local b = call('HMGET', c.p .. 'batch:' .. id, 'place', 'fence')
  return not holds(c, { place = b[1], fence = b[2] }, fence)
end

-- The gate as it stands. After a new epoch (a restart, a clock that jumped) what it holds means nothing: it
-- closes for one interval. A deadline further away than the largest span is clamped.
local function gate_read(c, name, step)
  local flat = call('HMGET', c.p .. 'gate:' .. name, 'next_ms', 'generation', 'epoch', 'interval')
  local g = { next = number(flat[1]), generation = number(flat[2]), interval = flat[4] or '0' }
  if not flat[3] then
    -- Perhaps Redis forgot it: closed for one interval after the adoption.
    g.next = number(call('HGET', c.p .. 'meta', 'adopted_ms')) + step
  elseif flat[3] ~= c.epoch then
    g.next = c.now + math.max(step, number(g.interval))
    g.generation = g.generation + 1
  end
  g.next = math.min(g.next, c.now + GATE_SPAN_MS)
  return g
end

local function gate_write(c, name, next_ms, interval, generation, reason)
  local key = c.p .. 'gate:' .. name
  call('HSET', key, 'next_at', rfc3339(next_ms), 'next_ms', integer(next_ms), 'interval', interval,
    'generation', integer(generation), 'epoch', c.epoch, 'reason', reason)
  -- An unused gate holds nothing that matters once it is open again.
  call('PEXPIREAT', key, integer(next_ms + GATE_SPAN_MS))
end
