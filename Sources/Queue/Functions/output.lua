-- batchd_output: keeps a piece of an output that is too large for one call; its place takes checkpoint or finish afterwards.
-- FCALL batchd_output 1 PREFIX EPOCH ID RUN STAGE FENCE ITEM INDEX PIECE [NOW]
--   ITEM   '' for the stage's own output
--   INDEX  from 0; the piece is the field 'piece:STAGE:INDEX:ITEM' of PREFIX:output:ID
-- -> 'held', 'lost' (nothing was kept); error OUTPUT: the outputs of the batch would have more bytes than it may
define('output', function(p, args)
  local epoch, id, run, stage, fence, item, index, piece = unpack(args, 1, 8)
  local c = open(p, args[9])
  guard(c, epoch)
  if not held(c, id, run, stage, fence) then return 'lost' end
  if not keep_output(c, id, 'piece:' .. stage .. ':' .. index .. ':' .. item, piece) then refuse_output(c) end
  return 'held'
end)
