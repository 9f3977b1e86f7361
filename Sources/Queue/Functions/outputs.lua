-- The bytes of a batch's outputs, all its items and stages together, in the field `bytes` of PREFIX:output:ID. Shared by the
-- functions that keep outputs.

local function kept_bytes(c, id)
  return number(call('HGET', c.p .. 'output:' .. id, 'bytes'))
end

-- Whether the outputs may have `more` bytes.
local function has_room(c, id, more)
  if more <= 0 then return true end
  local most = number(call('HGET', c.p .. 'meta', 'batch_output_bytes'))
  return most == 0 or kept_bytes(c, id) + more <= most
end

-- Less than nothing gives room back.
local function count_bytes(c, id, more)
  if more ~= 0 then call('HSET', c.p .. 'output:' .. id, 'bytes', integer(kept_bytes(c, id) + more)) end
end

local function refuse_output(c)
  refuse('OUTPUT', 'its outputs would have more than ' .. number(call('HGET', c.p .. 'meta', 'batch_output_bytes'))
    .. ' bytes; make smaller batches or outputs, or raise limits.batch_output_bytes')
end

-- Keeps one field of the outputs in the place of what it held before; false when there is no room.
local function keep_output(c, id, field, value)
  local key = c.p .. 'output:' .. id
  local more = #value - call('HSTRLEN', key, field)
  if not has_room(c, id, more) then return false end
  count_bytes(c, id, more)
  call('HSET', key, field, value)
  return true
end
