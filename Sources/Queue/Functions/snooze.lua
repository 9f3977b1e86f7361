-- batchd_snooze: not now; later for free. No slot and no attempt are used while it waits.
-- FCALL batchd_snooze 1 PREFIX EPOCH ID RUN STAGE FENCE DELAY_MS REASON [NOW]
-- -> 'snoozed', 'ended' (it was cancelled) or 'lost'
define('snooze', function(p, args)
  local epoch, id, run, stage, fence, delay, reason = unpack(args, 1, 7)
  local c = open(p, args[8])
  guard(c, epoch)
  local b, seen = held(c, id, run, stage, fence)
  if not b then return settled_before(seen, run, stage, fence) or 'lost' end
  if b.cancel then
    b.settled = settle_mark(run, stage, fence, 'ended')
    finish_batch(c, id, b, 'cancelled', 'cancelled')
    commit(c)
    return 'ended'
  end
  leave_place(c, id, b)
  call('ZADD', c.delayed, integer(c.now + delay), id)
  call('HSET', p .. 'batch:' .. id, 'place', c.delayed, 'error', reason,
    'settled', settle_mark(run, stage, fence, 'snoozed'), 'updated_at', c.at)
  event(c, 'snoozed', id, b, 'reason', reason, 'due', rfc3339(c.now + delay))
  return 'snoozed'
end)
