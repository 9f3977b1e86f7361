-- batchd_adopt: makes a connection usable; detects a Redis that may have forgotten something.
-- FCALL batchd_adopt 1 PREFIX STORE_EPOCH SEEN_EPOCH [NOW]
--   STORE_EPOCH  the highest epoch that the results store knows
--   SEEN_EPOCH   '[EPOCH] [EXPECTED_NOW]'. EPOCH: its own when the caller was given a fence twice, or the one in which it
--                found the clock elsewhere than it should be; EXPECTED_NOW: Redis's time as its monotonic clock carries
--                it on, when it has known it before
-- -> [EPOCH, NOW, JUMPED]; JUMPED the last epoch that began with a jump of the clock: whoever knows an older one and finds
--    the clock elsewhere need not say so
-- A new run_id, a missing epoch, one older than the store's or a jump of the clock raises it to max(Redis, store) + 1.
-- Repeatable: a second worker that saw the same restart, loss or jump finds the new epoch there. Leases of older epochs
-- are lost and re-queued by tick, uncharged; gates of older epochs close for one interval, or for as long as a service
-- closed them. What is delayed follows the clock by as far as it jumped: at once into PREFIX:jumped, from where tick takes
-- it in bounded steps; gates do as they are used, by the jumps that the field `jumps` of meta holds: 'EPOCH:BY_MS ...'.
-- Whoever knew the clock before a jump (beyond the tolerance) discovers it with its next call. Whoever comes after it knows a step back by what
-- the last beat noted. A step forward looks like silence to him: he asks no gate for an interval (Gate.swift) and ends no
-- lease for as long as one lasts (tick), so that those who know better are heard before.
local DISCOVERED_WITHIN_MS = 60000

-- Jumps that are remembered: a gate of an older epoch than the oldest of them has been open for long.
local JUMP_MOST = 20

local function note_jump(c, epoch, by)
  local jumps = { integer(epoch) .. ':' .. integer(by) }
  for one in string.gmatch(call('HGET', c.p .. 'meta', 'jumps') or '', '%d+:%-?%d+') do
    if #jumps < JUMP_MOST then jumps[#jumps + 1] = one end
  end
  call('HSET', c.p .. 'meta', 'jumps', table.concat(jumps, ' '))
end

local function jump(c, by)
  -- An earlier jump that tick has not dealt with to the end: rare, and then this costs what it did not do yet.
  while follow_clock(c) > 0 do end
  if call('EXISTS', c.delayed) == 1 then
    call('RENAME', c.delayed, c.p .. 'jumped')
    call('HSET', c.p .. 'meta', 'jump_ms', integer(by), 'jump_from',
      rfc3339(c.now - math.min(by, DISCOVERED_WITHIN_MS)))
  end
  -- Who was heard when, by the clock as it is now. What else was noted with the old time means nothing.
  local workers = call('ZRANGE', c.p .. 'workers', 0, -1, 'WITHSCORES')
  for i = 1, #workers, 2 do
    -- A beat that came after the jump and before its discovery has the new time already.
    local heard, moved = tonumber(workers[i + 1]), workers[i + 1] + by
    if math.abs(c.now - moved) < math.abs(c.now - heard) then
      call('ZADD', c.p .. 'workers', integer(moved), workers[i])
    end
  end
  call('HDEL', c.p .. 'meta', 'outage_ms')
end

define('adopt', function(p, args)
  local c = open(p, args[3])
  local run_id = string.match(call('INFO', 'server'), 'run_id:(%w+)')
  local meta = call('HMGET', p .. 'meta', 'run_id', 'epoch')
  local epoch, stored = number(meta[2]), number(args[1])
  local seen, expected = string.match(args[2] or '', '^(%d*) ?(%d*)$')
  local doubted, back = seen == meta[2], stepped_back(c)
  local jumped = back > 0 or (doubted and expected ~= '')
  if epoch == 0 or meta[1] ~= run_id or epoch < stored or doubted or jumped then
    epoch = math.max(epoch, stored) + 1
    call('HSET', p .. 'meta', 'run_id', run_id, 'epoch', integer(epoch), 'adopted_at', c.at, 'adopted_ms',
      integer(c.now),
      'revision', REVISION)
    event(c, 'adopted', '', {}, 'epoch', integer(epoch), 'reason',
      jumped and 'clock' or doubted and 'fence' or (meta[2] and 'restart' or 'new'))
    if jumped then
      call('HSET', p .. 'meta', 'jumped_epoch', integer(epoch))
      note_clock(c)
      -- What the last beat noted is up to a beat old. To a caller who finds the clock right only those who came after a
      -- step forward noted something else.
      local by = expected ~= '' and c.now - expected or -back
      if math.abs(by) > CLOCK_TOLERANCE_MS then
        note_jump(c, epoch, by)
        jump(c, by)
      end
    end
  end
  return { epoch, c.now, number(call('HGET', p .. 'meta', 'jumped_epoch')) }
end)
