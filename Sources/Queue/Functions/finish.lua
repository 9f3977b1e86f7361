-- batchd_finish: settles stage jobs that are done, many at once.
-- FCALL batchd_finish 1 PREFIX EPOCH LEASE_MS N {ID RUN STAGE FENCE GO_ON HAS_OUTPUT OUTPUT}*N ['short'] [NOW]
--   GO_ON  '1' when the caller serves the next stage and has a slot for it
-- -> [NOW, ANSWER*N]; ANSWER 'queued' (next stage, in its list), 'ended', 'lost' (nothing was done), 'full' (nothing was
--    done: the outputs of the batch would have more bytes than it may) or, when the lease goes on, ['next', STAGE, [items done], [items failed], CURSOR]; of a plain batch, with 'short', 'next STAGE'
-- The lease goes on without a trip through the list when nobody waits there and nothing is paused. A repeat,
-- keyed (run, stage, fence), returns the first answer.
local function count_rest(c, b)
  if b.stage ~= b.counts then return end
  local rest = number(b.items_total) - number(b.items_done) - number(b.items_failed)
  if rest > 0 then
    b.items_done = integer(number(b.items_done) + rest)
    count(c, b.operation, 'items_done', rest)
  end
end

-- What is known of each stage's list of one pipeline: whether a lease may go on past it. Only this call itself can change
-- that, by a push, which forgets it.
local function open_stages(c, pipeline)
  local known = c.open_stages
  if not known or known.pipeline ~= pipeline then
    known = { pipeline = pipeline }
    c.open_stages = known
  end
  return known
end

local function may_go_on(c, b, following)
  local known = open_stages(c, b.pipeline)
  if known[following] == nil then
    local key = queue_key(c, b, following)
    known[following] = not c.queued[key] and call('LLEN', key) == 0 and not paused_here(c, b.pipeline, following)
  end
  return known[following] and (not b.account or call('SISMEMBER', c.p .. 'paused', 'account:' .. b.account) == 0)
end

local function answer_next(c, id, b)
  local done, failed = item_lists(c, id, b)
  return { 'next', b.stage, done, failed, call('HGET', c.p .. 'output:' .. id, 'cursor:' .. b.stage) or '' }
end

local function repeat_answer(c, id, b, answer, fence)
  if answer ~= 'next' then return answer end
  if holds(c, b, fence) then return answer_next(c, id, b) end
  return 'lost'
end

local function advance(c, id, b, fence, following, go_on, expiry)
  local from = b.stage
  local answer = go_on and 'next' or 'queued'
  b.settled = settle_mark(b.run, from, fence, answer)
  b.stage, b.attempt = following, go_on and '1' or '0'
  if b.crashes then b.crashes = '0' end
  if go_on then
    lease_until(c, id, expiry)
  else
    leave_place(c, id, b)
    enter(c, id, b)
  end
  call('HSET', c.p .. 'batch:' .. id, 'stage', b.stage, 'place', b.place, 'attempt', b.attempt,
    'settled', b.settled, 'items_done', b.items_done, 'updated_at', c.at)
  if b.crashes then call('HSET', c.p .. 'batch:' .. id, 'crashes', '0') end
  event(c, 'stage_finished', id, b, 'from', from)
  return go_on and answer_next(c, id, b) or answer
end

local function settle(c, id, b, fence, go_on, expiry)
  local ended = settle_mark(b.run, b.stage, fence, 'ended')
  local total = number(b.items_total)
  if b.cancel then
    b.settled = ended
    finish_batch(c, id, b, 'cancelled', 'cancelled')
    return 'ended'
  end
  if total > 0 and number(b.item_errors) >= total then
    b.settled = ended
    finish_batch(c, id, b, 'failed', 'all ' .. total .. ' items failed; see ' .. c.p .. 'errors:' .. id)
    return 'ended'
  end
  if b.error then
    -- What held the stage up is over.
    b.error = nil
    call('HDEL', c.p .. 'batch:' .. id, 'error')
  end
  count_rest(c, b)
  local following = next_stage(b)
  if following then
    return advance(c, id, b, fence, following, go_on and may_go_on(c, b, following), expiry)
  end
  b.settled = ended
  call('HSET', c.p .. 'batch:' .. id, 'items_done', b.items_done)
  finish_batch(c, id, b, b.item_errors and 'completed_with_errors' or 'completed')
  return 'ended'
end

local function settle_plain(c, id, b, fence, go_on, expiry, short)
  local following = b.following
  if following == '' then
    plain_end(c, id, b, fence)
    return 'ended'
  end
  go_on = go_on and may_go_on(c, b, following)
  plain_advance(c, id, b, fence, go_on, expiry)
  if not go_on then return 'queued' end
  return short and 'next ' .. following or { 'next', following, {}, {}, '' }
end

define('finish', function(p, args)
  local n = tonumber(args[3])
  local short, given = short_answer(args, 4 + 7 * n)
  local c = open(p, given)
  guard(c, args[1])
  local reply, expiry = { c.now }, integer(c.now + args[2])
  for i = 1, n do
    local id, run, stage, fence, go_on, has_output, output = unpack(args, 7 * i - 3, 7 * i + 3)
    local b, seen = plain_held(c, id, run, stage, fence), nil
    if not b then b, seen = held(c, id, run, stage, fence) end
    if b and has_output == '1' and not keep_output(c, id, stage, output) then
      reply[i + 1] = 'full'
    elseif b then
      reply[i + 1] = (b.plain and settle_plain or settle)(c, id, b, fence, go_on == '1', expiry, short)
    else
      local answer = settled_before(seen, run, stage, fence)
      reply[i + 1] = answer and repeat_answer(c, id, seen, answer, fence) or 'lost'
    end
  end
  commit(c)
  return reply
end)
