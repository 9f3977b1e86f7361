-- batchd_fail: an attempt failed. Later at a cost, or the end of the batch.
-- FCALL batchd_fail 1 PREFIX EPOCH ID RUN STAGE FENCE DELAY_MS ERROR [NOW]
--   DELAY_MS  the backoff; '' when the batch fails for good
-- -> 'retrying', 'ended' or 'lost'
define('fail', function(p, args)
  local epoch, id, run, stage, fence, delay, reason = unpack(args, 1, 7)
  local c = open(p, args[8])
  guard(c, epoch)
  local b, seen = held(c, id, run, stage, fence)
  if not b then return settled_before(seen, run, stage, fence) or 'lost' end
  if b.cancel or delay == '' then
    b.settled = settle_mark(run, stage, fence, 'ended')
    finish_batch(c, id, b, b.cancel and 'cancelled' or 'failed', b.cancel and 'cancelled' or reason)
    commit(c)
    return 'ended'
  end
  leave_place(c, id, b)
  become(c, b, 'retrying')
  call('ZADD', c.delayed, integer(c.now + delay), id)
  call('HSET', p .. 'batch:' .. id, 'status', b.status, 'place', c.delayed,
    'attempt', integer(number(b.attempt) + 1), 'retry_count', integer(number(b.retry_count) + 1),
    'error', reason, 'settled', settle_mark(run, stage, fence, 'retrying'),
    'updated_at', c.at)
  if b.crashes then call('HSET', p .. 'batch:' .. id, 'crashes', '0') end
  stat(c, 'retries')
  event(c, 'retrying', id, b, 'error', reason, 'due', rfc3339(c.now + delay))
  commit(c)
  return 'retrying'
end)
