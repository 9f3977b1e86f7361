-- The bytes of a batch's outputs, all its items and stages together, in the field `bytes` of PREFIX:output:ID. Shared by the
-- functions that keep outputs.

-- Whether the outputs may have `more` bytes; takes the room if so. Less than nothing gives room back.
local function take_room(c, id, more)
  local key = c.p .. 'output:' .. id
  local kept, most = number(call('HGET', key, 'bytes')), number(call('HGET', c.p .. 'meta', 'batch_output_bytes'))
  if more > 0 and most > 0 and kept + more > most then return false end
  if more ~= 0 then call('HSET', key, 'bytes', integer(kept + more)) end
  return true
end

local function refuse_output(c)
  refuse('OUTPUT', 'its outputs would have more than ' .. number(call('HGET', c.p .. 'meta', 'batch_output_bytes'))
    .. ' bytes; make smaller batches or outputs, or raise limits.batch_output_bytes')
end

-- Keeps one field of the outputs in the place of what it held before; false when there is no room.
local function keep_output(c, id, field, value)
  local key = c.p .. 'output:' .. id
  if not take_room(c, id, #value - call('HSTRLEN', key, field)) then return false end
  call('HSET', key, field, value)
  return true
end
