-- batchd_gate_confirm: asked at the moment of sending, for a reserved permission or one that was not used in time.
-- FCALL batchd_gate_confirm 1 PREFIX EPOCH NAME AT GENERATION INTERVAL_MS MARGIN_MS ID FENCE [NOW]
--   AT  as batchd_gate_take gave it, however often this is asked
-- -> [STATE, NOW, MOMENT]; 'granted': send within MOMENT + MARGIN_MS / 2 - NOW milliseconds of the call;
--    'early': not before MOMENT; 'void': take again (the gate was closed meanwhile, or a later permission was used);
--    'lost'
define('gate_confirm', function(p, args)
  local epoch, name, at, generation, interval, margin, id, fence = unpack(args, 1, 8)
  local c = open(p, args[9])
  guard(c, epoch)
  if gate_lost(c, id, fence) then return { 'lost', c.now, 0 } end
  at = tonumber(at)
  local step = interval + margin
  local g = gate_read(c, name, step)
  if integer(g.generation) ~= generation or at < g.turn then return { 'void', c.now, 0 } end
  -- Asked again for the one given last: its reply came too late to be used, and nobody else had its moment.
  local due = at == g.turn and g.free - step or math.max(at, g.free)
  if c.now < due then return { 'early', c.now, due } end
  -- A little late is within what the margin allows for; more moves the permissions behind.
  local moment = c.now - due <= margin / 4 and due or c.now
  g.turn, g.free, g.interval = at, moment + step, interval
  g.next = math.max(g.next + moment - due, g.free)
  gate_write(c, name, g, '')
  return { 'granted', c.now, moment }
end)
