-- batchd_drop: drops a rejected entry for good.
-- FCALL batchd_drop 1 PREFIX N|all [NOW]
--   N  the entry's position in LRANGE PREFIX:rejected 0 -1, from 0, the newest
-- -> how many entries were dropped; error NOTFOUND
define('drop', function(p, args)
  local c = open(p, args[2])
  local records = rejected_records(c, args[1], 'batchd_drop')
  for _, record in ipairs(records) do forget_rejected(c, record) end
  stat(c, 'dropped', #records)
  event(c, 'dropped', '', {}, 'count', integer(#records))
  return #records
end)
