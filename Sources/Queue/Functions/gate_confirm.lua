-- batchd_gate_confirm: asked at the moment of sending, for a reserved permission or one that was not used in time.
-- FCALL batchd_gate_confirm 1 PREFIX EPOCH NAME AT GENERATION INTERVAL_MS MARGIN_MS ID FENCE [NOW]
-- -> [STATE, NOW, AT]; 'granted': send within AT + MARGIN_MS / 2 - NOW milliseconds of the call; 'early': not before AT;
--    'void': take again (the gate was closed meanwhile, or the moment has passed); 'lost'
-- A late one moves to now when nobody reserved behind it: an unused permission costs the gate nothing.
define('gate_confirm', function(p, args)
  local epoch, name, at, generation, interval, margin, id, fence = unpack(args, 1, 8)
  local c = open(p, args[9])
  guard(c, epoch)
  if gate_lost(c, id, fence) then return { 'lost', c.now, 0 } end
  at = tonumber(at)
  local step = interval + margin
  local g = gate_read(c, name, step)
  if integer(g.generation) ~= generation then return { 'void', c.now, 0 } end
  if c.now < at then return { 'early', c.now, at } end
  if c.now - at <= margin / 4 then return { 'granted', c.now, at } end
  if g.next ~= at + step then return { 'void', c.now, 0 } end
  gate_write(c, name, c.now + step, interval, g.generation, '')
  return { 'granted', c.now, c.now }
end)
