-- Appends items and returns how many were new. ARGV: token, then id, payload of each; an empty id is replaced by the
-- next free number. The token, given if any id is empty, makes sending the same batch twice harmless: the second time
-- adds nothing and tells of the unnumbered ones, which were all new the first time.
if STOPPED or rule('closed') == 1 then
  return redis.error_reply('QUEUECLOSED the queue takes no more items')
end
if ARGV[1] ~= '' then
  if call('ZADD', P .. 'puts', 'NX', NOW_TEXT, ARGV[1]) == 0 then
    local unnumbered = 0
    for i = 2, #ARGV, 2 do
      unnumbered = unnumbered + (ARGV[i] == '' and 1 or 0)
    end
    return unnumbered
  end
  call('ZREMRANGEBYSCORE', P .. 'puts', '-inf', NOW - 600000000)
end
local head = ':'
if STREAM then
  head = 'r' .. NOW_TEXT .. ' 0 0:'
end
local items = P .. 'items'
local next_number
local new = {}
for i = 2, #ARGV, 2 do
  local id, value = ARGV[i], head .. ARGV[i + 1]
  if id ~= '' then
    if call('HSETNX', items, id, value) == 1 then
      new[#new + 1] = id
    end
  else
    next_number = next_number or tonumber(call('HGET', P .. 'counters', 'next') or 0)
    repeat
      id = string.format('%.0f', next_number)
      next_number = next_number + 1
    until call('HSETNX', items, id, value) == 1
    new[#new + 1] = id
  end
end
if next_number then
  call('HSET', P .. 'counters', 'next', next_number)
end
for first = 1, #new, 1000 do
  call('RPUSH', P .. 'ready', unpack(new, first, math.min(first + 999, #new)))
end
return #new
