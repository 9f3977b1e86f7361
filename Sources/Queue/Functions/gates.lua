-- The state of one gate. Shared by the gate functions; batchd_gate_take explains the grid.

local GATE_SPAN_MS = 3600000

local function gate_lost(c, id, fence)
  if id == '' then return false end
  local b = call('HMGET', c.p .. 'batch:' .. id, 'place', 'fence')
  return not holds(c, { place = b[1], fence = b[2] }, fence)
end

-- The gate as it stands: the moment of the next permission that nobody asked for yet, the moment from which one may
-- be used, and the one used last. After a new epoch (a restart, a clock that jumped) what it holds means nothing:
-- it closes for one interval after the adoption. A deadline further away than the largest span is clamped.
local function gate_read(c, name, step)
  local flat = call('HMGET', c.p .. 'gate:' .. name, 'next_ms', 'free_ms', 'turn', 'generation', 'epoch', 'interval')
  local g = { next = number(flat[1]), free = number(flat[2]), turn = number(flat[3]),
    generation = number(flat[4]), interval = integer(number(flat[6])) }
  local aside = mended[#mended] and mended[#mended][1] == c.p .. 'gate:' .. name
  if aside or (flat[5] and not (is_count(flat[1] or '') and is_count(flat[2] or '0'))) then
    -- Nobody knows when the last permission was.
    g.next = c.now + math.max(step, number(g.interval))
    g.free, g.turn, g.generation = g.next, 0, g.generation + 1
  elseif flat[5] ~= c.epoch then
    -- Without one perhaps Redis forgot it. What somebody wrote into meta must not shut it.
    g.next = math.min(number(call('HGET', c.p .. 'meta', 'adopted_ms')), c.now) + math.max(step, number(g.interval))
    g.free, g.turn, g.generation = g.next, 0, g.generation + 1
  end
  g.next = math.min(g.next, c.now + GATE_SPAN_MS)
  g.free = math.min(g.free, g.next)
  return g
end

local function gate_write(c, name, g, reason)
  local key = c.p .. 'gate:' .. name
  call('HSET', key, 'next_at', rfc3339(g.next), 'next_ms', integer(g.next), 'free_ms', integer(g.free), 'turn',
    integer(g.turn), 'interval', g.interval, 'generation', integer(g.generation), 'epoch', c.epoch, 'reason', reason)
  -- An unused gate holds nothing that matters once it is open again.
  call('PEXPIREAT', key, integer(g.next + GATE_SPAN_MS))
end
