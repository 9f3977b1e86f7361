-- What type each key under the prefix has, and what becomes of one that has another. Shared by the functions; the first
-- of all files.
--
-- Anybody may write anything into Redis. A key of the wrong type would fail whoever touches it, again and again, and
-- half-way, for Lua does not roll back. So the first to touch it renames it to PREFIX:aside:NAME, where a person finds it
-- for a month, and goes on as if it had never been there: a list that is missing is something the protocol copes with.

local KEY_TYPES = {
  enqueue = 'list', delayed = 'zset', leases = 'zset', failed = 'zset', lanes = 'hash', lane = 'list', gate = 'hash',
  rejected = 'list', paused = 'set', operations = 'zset', workers = 'zset', worker = 'hash', pipelines = 'hash',
  store = 'hash', meta = 'hash', stats = 'hash', events = 'stream', progress = 'hash', batch = 'hash', errors = 'hash',
  queue = 'list', suspects = 'list', input = 'string', output = 'hash', items = 'hash', members = 'list',
  accounts = 'set', intake = 'list', claimed = 'string', ended = 'stream', departed = 'zset', cancelling = 'set',
  gone = 'hash', jumped = 'zset', refreshes = 'hash',
}
local ASIDE_SECONDS = 30 * 86400

-- A global costs a look-up through a metatable at each use, and exists only once a function runs: `define` sets these.
local function globals() return redis.pcall, type, string, tonumber, math, ipairs, pairs end
local redis_pcall, type, string, tonumber, math, ipairs, pairs

-- What this call has mended on its way: {KEY, what was wrong, what was done}. `define` writes the events at its end. Only
-- who merely looks does not mend.
local prefix, mended, mends = '', {}, true

-- Why the key is not what its name promises; nil when it is, or when nobody knows the name.
local function wrong_type(key)
  if string.sub(key, 1, #prefix) ~= prefix then return nil end
  local wanted = KEY_TYPES[string.match(string.sub(key, #prefix + 1), '^[^:]*')]
  if not wanted then return nil end
  local found = redis.call('TYPE', key).ok
  if found == 'none' or found == wanted then return nil end
  return 'is a ' .. found .. ' where a ' .. wanted .. ' belongs'
end

local function aside_name(key)
  return prefix .. 'aside:' .. string.sub(key, #prefix + 1)
end

local function set_aside(key, problem)
  local aside = aside_name(key)
  redis.call('RENAME', key, aside)
  redis.call('EXPIRE', aside, ASIDE_SECONDS)
  mended[#mended + 1] = { key, problem, 'moved to ' .. aside }
end

local checked

-- Mends what made a command fail and runs it again; raises an error that is none of ours.
local function try_again(problem, ...)
  local words = { ... }
  if not mends then error(problem, 0) end
  if string.find(problem, 'WRONGTYPE', 1, true) then
    for i = 2, #words do
      local wrong = type(words[i]) == 'string' and wrong_type(words[i])
      if wrong then
        set_aside(words[i], wrong)
        return checked(...)
      end
    end
  elseif words[1] == 'HINCRBY' and (string.find(problem, 'not an integer', 1, true)
    or string.find(problem, 'overflow', 1, true)) then
    redis.call('HDEL', words[2], words[3])
    mended[#mended + 1] = { words[2], 'its count ' .. string.sub(words[3], 1, 64) .. ' was not a number',
      'counted from 0 again' }
    return checked(...)
  end
  -- The text, not the table: it keeps Redis's code as its first word.
  error(problem, 0)
end

-- redis.call, but for wrong types and counts that are none.
checked = function(...)
  local reply = redis_pcall(...)
  if type(reply) == 'table' and reply.err then return try_again(reply.err, ...) end
  return reply
end
