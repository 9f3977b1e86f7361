-- batchd_reenter: pushes a rejected entry to PREFIX:enqueue again.
-- FCALL batchd_reenter 1 PREFIX N|all [NOW]
--   N  the entry's position in LRANGE PREFIX:rejected 0 -1, from 0, the newest
-- -> how many entries went back; error NOTFOUND, or CUT when only the beginning of the entry was kept
define('reenter', function(p, args)
  local c = open(p, args[2])
  local records = rejected_records(c, args[1], 'batchd_reenter')
  local bodies = {}
  for i, record in ipairs(records) do
    local kept, raw = string.match(record, '^%S+ %d+ (%a+) [^\n]*\n(.*)$')
    if kept == 'whole' then
      bodies[#bodies + 1] = { record = record, raw = raw }
    elseif args[1] ~= 'all' then
      refuse('CUT', 'only the beginning of that entry was kept, it was too large; enqueue it anew')
    end
  end
  for i = #bodies, 1, -1 do
    call('LPUSH', p .. 'enqueue', bodies[i].raw)
    forget_rejected(c, bodies[i].record)
  end
  stat(c, 'reentered', #bodies)
  event(c, 'reentered', '', {}, 'count', integer(#bodies))
  return #bodies
end, {})
