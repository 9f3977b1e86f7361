-- batchd_adopt: makes a connection usable; detects a Redis that may have forgotten something.
-- FCALL batchd_adopt 1 PREFIX STORE_EPOCH SEEN_EPOCH [NOW]
--   STORE_EPOCH  the highest epoch that the results store knows
--   SEEN_EPOCH   '' on a new connection; the caller's epoch when it saw the clock jump
-- -> [EPOCH, NOW]
-- A new run_id, a missing epoch or one older than the store's raises it to max(Redis, store) + 1. Repeatable: a
-- second worker that saw the same restart or jump finds the new epoch there. Leases of older epochs are lost
-- and re-queued by tick, uncharged; gates of older epochs close for one interval at their next use.
define('adopt', function(p, args)
  local c = open(p, args[3])
  local run_id = string.match(call('INFO', 'server'), 'run_id:(%w+)')
  local meta = call('HMGET', p .. 'meta', 'run_id', 'epoch')
  local epoch, stored = number(meta[2]), number(args[1])
  local jumped = args[2] ~= nil and args[2] ~= '' and args[2] == meta[2]
  if epoch == 0 or meta[1] ~= run_id or epoch < stored or jumped then
    epoch = math.max(epoch, stored) + 1
    call('HSET', p .. 'meta', 'run_id', run_id, 'epoch', integer(epoch), 'adopted_at', c.at, 'adopted_ms',
      integer(c.now),
      'revision', REVISION)
    event(c, 'adopted', '', {}, 'epoch', integer(epoch), 'reason',
      jumped and 'clock' or (meta[2] and 'restart' or 'new'))
  end
  return { epoch, c.now }
end)
