-- batchd_recover: a restarted worker takes its own leases back at once, instead of waiting for their expiry.
-- FCALL batchd_recover 1 PREFIX EPOCH WORKER FROM COUNT MAX_CRASHES [NOW]
--   FROM, COUNT  the ranks of PREFIX:leases to look at: the caller walks the set in bounded steps, last ranks
--                first, for the ranks behind a removed lease move
-- -> number of leases recovered
-- A worker that stopped in order holds none; what is found here ended by a crash. Broken records are tick's.
define('recover', function(p, args)
  local c = open(p, args[6])
  guard(c, args[1])
  local recovered = 0
  for _, id in ipairs(call('ZRANGE', c.leases, args[3], tonumber(args[3]) + tonumber(args[4]) - 1)) do
    local b = is_name(id) and call('HGET', p .. 'batch:' .. id, 'worker') == args[2] and load(c, id)
    if b then
      if b.place == c.leases and not flaw(b) then
        if older(c, b) then requeue(c, id, b) else crashed(c, id, b, tonumber(args[5])) end
        recovered = recovered + 1
      end
    end
  end
  commit(c)
  return recovered
end)
