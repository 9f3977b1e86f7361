-- batchd_gate_close: the service said "too many": the gate closes for everyone, reservations are void.
-- FCALL batchd_gate_close 1 PREFIX EPOCH NAME DELAY_MS REASON [NOW] -> [NOW, OPENS_AT]
define('gate_close', function(p, args)
  local epoch, name, delay, reason = unpack(args, 1, 4)
  local c = open(p, args[5])
  guard(c, epoch)
  local g = gate_read(c, name, 0)
  -- From the permission used last, or the end of an earlier closing: what was only reserved costs nothing.
  local wanted = c.now + math.min(tonumber(delay), GATE_SPAN_MS)
  local opens = math.max(g.free, wanted)
  -- A shorter closing changes nothing that anybody should be told instead of the longer one's reason.
  if g.shut >= wanted and g.free >= wanted then return { c.now, opens } end
  g.next, g.free, g.closed, g.turn, g.generation = opens, opens, opens, 0, g.generation + 1
  gate_write(c, name, g, reason)
  event(c, 'gate_closed', '', {}, 'gate', name, 'until', rfc3339(opens), 'reason', reason)
  return { c.now, opens }
end)
