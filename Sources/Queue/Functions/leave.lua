-- batchd_leave: a worker that stopped in order takes its name off the list and returns what its intakes hold.
-- FCALL batchd_leave 1 PREFIX EPOCH WORKER [NOW] -> 'OK'
define('leave', function(p, args)
  local c = open(p, args[3])
  guard(c, args[1])
  sweep(c, args[2])
  depart(c, args[2])
  event(c, 'worker_stopped', '', {}, 'worker', args[2])
  return 'OK'
end)
