-- The state of one gate. Shared by the gate functions; batchd_gate_take explains the grid.

local GATE_SPAN_MS = 3600000

local function gate_lost(c, id, fence)
  if id == '' then return false end
  local b = call('HMGET', c.p .. 'batch:' .. id, 'place', 'fence')
  return not holds(c, { place = b[1], fence = b[2] }, fence)
end

-- By how far Redis's clock stepped since the gate was written, in an older epoch.
local function gate_drift(c, written)
  local drift = 0
  for epoch, by in string.gmatch(call('HGET', c.p .. 'meta', 'jumps') or '', '(%d+):(-?%d+)') do
    if number(epoch) > number(written) then drift = drift + number(by) end
  end
  return drift
end

-- The gate as it stands: the moment of the next permission that nobody asked for yet, the moment from which one may
-- be used, and the one used last. After a new epoch (a restart, a clock that jumped) reservations mean nothing: it closes
-- for one interval after the adoption, or for as long as a service closed it before, by the clock as it is now. A
-- deadline further away than the largest span is clamped.
local function gate_read(c, name, step)
  local flat = call('HMGET', c.p .. 'gate:' .. name, 'next_ms', 'free_ms', 'turn', 'generation', 'epoch', 'interval',
    'closed_ms')
  local g = { next = number(flat[1]), free = number(flat[2]), turn = number(flat[3]),
    generation = number(flat[4]), interval = integer(number(flat[6])), shut = number(flat[7]) }
  local aside = mended[#mended] and mended[#mended][1] == c.p .. 'gate:' .. name
  if aside or (flat[5] and not (is_count(flat[1] or '') and is_count(flat[2] or '0'))) then
    -- Nobody knows when the last permission was.
    g.next = c.now + math.max(step, number(g.interval))
    g.free, g.turn, g.generation, g.shut = g.next, 0, g.generation + 1, 0
  elseif flat[5] ~= c.epoch then
    -- Without one perhaps Redis forgot it. What somebody wrote into meta must not shut it.
    g.next = math.min(number(call('HGET', c.p .. 'meta', 'adopted_ms')), c.now) + math.max(step, number(g.interval))
    if flat[7] then
      g.closed = g.shut + gate_drift(c, flat[5] or c.epoch)
      g.next, g.shut = math.max(g.next, g.closed), g.closed
    end
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
  -- Until when a service closed it, which a new epoch must not open; by the clock of the epoch that is written here.
  if g.closed then call('HSET', key, 'closed_ms', integer(g.closed)) end
  -- An unused gate holds nothing that matters once it is open again.
  call('PEXPIREAT', key, integer(g.next + GATE_SPAN_MS))
end
