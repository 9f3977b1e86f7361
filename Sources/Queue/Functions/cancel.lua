-- batchd_cancel: ends a batch, or all of an operation's. For people: answers in words.
-- FCALL batchd_cancel 1 PREFIX ID|operation:OP [NOW]
-- -> 'cancelled', or 'cancelling' when it runs: it ends at its next renewal or checkpoint, within seconds;
--    for an operation the counts of both; above 1000 batches the workers do the rest
define('cancel', function(p, args)
  local what = args[1]
  if not what or what == '' then
    refuse('BADARG', 'batchd_cancel needs an id: FCALL batchd_cancel 1 PREFIX ID, or operation:OP')
  end
  local c = open(p, args[2])
  local operation = string.match(what, '^operation:(.+)$')
  local id = operation or what
  if operation and call('EXISTS', p .. 'members:' .. operation) == 1 then
    local counts = {}
    cancel_members(c, operation, counts)
    -- A batch that bears the operation's name may have been enqueued without one.
    local own = cancel_one(c, operation, operation)
    if own then counts[own] = (counts[own] or 0) + 1 end
    commit(c)
    local text = 'cancelled ' .. (counts.cancelled or 0) .. ', cancelling ' .. (counts.cancelling or 0)
      .. ', ended before ' .. (counts.ended or 0)
    if call('SISMEMBER', p .. 'cancelling', operation) == 1 then
      text = text .. '; the workers cancel the rest'
    end
    return text
  end
  local answer = cancel_one(c, id, operation)
  if not answer then
    local status, reason = unpack(call('HMGET', p .. 'batch:' .. id, 'status', 'error'))
    if status == 'rejected' then
      refuse('ENDED', 'batch "' .. id .. '" was rejected: ' .. (reason or '') .. '; see batchd_drop')
    end
    refuse('NOTFOUND', (operation and 'operation "' or 'batch "') .. id .. '" is not known'
      .. ((not operation and call('EXISTS', p .. 'members:' .. id) == 1)
        and '; for the operation of that name: operation:' .. id
        or ': never admitted, or forgotten since its end; batchd explain ' .. id .. ' looks further'))
  end
  if answer == 'ended' then
    refuse('ENDED', 'batch "' .. id .. '" has ended: ' .. call('HGET', p .. 'batch:' .. id, 'status')
      .. '; there is nothing left to cancel')
  end
  commit(c)
  return answer
end)
