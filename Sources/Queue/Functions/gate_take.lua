-- batchd_gate_take: a permission of a gate to send one request.
-- FCALL batchd_gate_take 1 PREFIX EPOCH NAME INTERVAL_MS MARGIN_MS PATIENCE_MS ID FENCE [NOW]
--   PATIENCE_MS  a permission further away than this is not reserved
--   ID FENCE     the stage job that asks, '' for none: a worker that lost its lease gets nothing
-- -> [STATE, NOW, AT, GENERATION]
--    'granted' now: send within MARGIN_MS / 2 of the call; 'reserved': confirm at AT; 'closed': until AT at least;
--    'lost'
-- Permissions are given out interval + margin apart by Redis's clock, each for a moment AT of its own, which also
-- names it and gives the order. One that is used late moves those behind it by as much instead of being lost: two
-- requests, each sent within half the margin after its permission, arrive at least the interval apart while their
-- ways differ by less than the other half.
define('gate_take', function(p, args)
  local epoch, name, interval, margin, patience, id, fence = unpack(args, 1, 7)
  local c = open(p, args[8])
  guard(c, epoch)
  if gate_lost(c, id, fence) then return { 'lost', c.now, 0, 0 } end
  local step = interval + margin
  local g = gate_read(c, name, step)
  local at = math.max(g.next, c.now)
  if at - c.now > tonumber(patience) then return { 'closed', c.now, at, g.generation } end
  g.next, g.interval = at + step, interval
  if at <= c.now then g.turn, g.free = at, g.next end
  gate_write(c, name, g, '')
  return { at <= c.now and 'granted' or 'reserved', c.now, at, g.generation }
end)
