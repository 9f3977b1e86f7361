-- batchd_hand_back: a worker that stops returns running work, now and for free, to the front of its list.
-- FCALL batchd_hand_back 1 PREFIX EPOCH N {ID RUN STAGE FENCE}*N [NOW]
-- -> per batch 'handed_back', 'ended' (it was cancelled) or 'lost'
define('hand_back', function(p, args)
  local n = tonumber(args[2])
  local c = open(p, args[3 + 4 * n])
  guard(c, args[1])
  local reply = {}
  for i = 1, n do
    local id, run, stage, fence = unpack(args, 4 * i - 1, 4 * i + 2)
    local b, seen = held(c, id, run, stage, fence)
    if not b then
      reply[i] = settled_before(seen, run, stage, fence) or 'lost'
    elseif b.cancel then
      b.settled = settle_mark(run, stage, fence, 'ended')
      finish_batch(c, id, b, 'cancelled', 'cancelled')
      reply[i] = 'ended'
    else
      leave_place(c, id, b)
      push(c, id, b, true)
      call('HSET', p .. 'batch:' .. id, 'place', b.place, 'updated_at', c.at,
        'settled', settle_mark(run, stage, fence, 'handed_back'))
      event(c, 'handed_back', id, b)
      reply[i] = 'handed_back'
    end
  end
  commit(c)
  return reply
end)
