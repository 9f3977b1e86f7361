-- batchd_intake: moves entries of PREFIX:enqueue into the worker's intake and shows what the intake holds.
-- FCALL batchd_intake 1 PREFIX EPOCH WORKER COUNT ENVELOPE_BYTES [NOW]
-- -> raw entries, oldest first; they stay in the intake until batchd_admit takes each one out
-- An entry over ENVELOPE_BYTES is rejected here, so that it never travels. Needs memory, like all admission.
define('intake', function(p, args)
  local c = open(p, args[5])
  guard(c, args[1])
  local key = p .. 'intake:' .. args[2] .. ':enqueue'
  local count, most = tonumber(args[3]), tonumber(args[4])
  for _ = call('LLEN', key) + 1, count do
    if not call('LMOVE', p .. 'enqueue', key, 'RIGHT', 'LEFT') then break end
  end
  local entries, bytes, from_end = {}, 0, 1
  while from_end <= count and bytes < 8 * 1048576 do
    local raw = call('LINDEX', key, -from_end)
    if not raw then break end
    if #raw > most then
      call('LREM', key, -1, raw)
      reject(c, raw, 'entry: ' .. #raw .. ' bytes, the limit is ' .. most
        .. ' (limits.envelope_bytes)')
    else
      entries[from_end] = raw
      bytes = bytes + #raw
      from_end = from_end + 1
    end
  end
  return entries
end, {})
