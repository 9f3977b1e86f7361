-- batchd_revision: which revision of the library is in force; takes no key, for it is asked before anything else.
-- FCALL batchd_revision 0 -> integer
redis.register_function{
  function_name = 'batchd_revision',
  callback = function() return REVISION end,
  flags = { 'no-writes', 'allow-oom', 'allow-stale' },
}
