-- batchd_intake: moves entries of PREFIX:enqueue into the worker's intake and shows what the intake holds.
-- FCALL batchd_intake 1 PREFIX EPOCH WORKER COUNT ENVELOPE_BYTES [NOW]
-- -> raw entries, oldest first; they stay in the intake until batchd_admit takes each one out
-- An entry over ENVELOPE_BYTES is rejected here, so that it never travels. Needs memory, like all admission.
define('intake', function(p, args)
  local c = open(p, args[5])
  guard(c, args[1])
  local key = p .. 'intake:' .. args[2] .. ':enqueue'
  local count, most = tonumber(args[3]), tonumber(args[4])
  local entries, bytes, held = {}, 0, call('LLEN', key)
  for _ = 1, count do
    if bytes >= 8 * 1048576 then break end
    -- What an earlier call moved stands nearest to the end.
    local raw
    if #entries < held then
      raw = call('LINDEX', key, -1 - #entries)
    else
      raw = call('LMOVE', p .. 'enqueue', key, 'RIGHT', 'LEFT')
      held = held + 1
    end
    if not raw then break end
    if #raw > most then
      call('LREM', key, -1, raw)
      held = held - 1
      reject(c, raw, 'entry: ' .. #raw .. ' bytes, the limit is ' .. most
        .. ' (limits.envelope_bytes): split it')
    else
      entries[#entries + 1] = raw
      bytes = bytes + #raw
    end
  end
  return entries
end, {})
