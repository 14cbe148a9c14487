-- Returns expired leases to the front of the queue, or buries them, at most ARGV[1]. Returns how many moved.
local late = call('ZRANGEBYSCORE', P .. 'leased', '-inf', NOW_TEXT, 'LIMIT', 0, ARGV[1])
local alive = {}
for _, id in ipairs(late) do
  local died, attempt, failures = expire(id)
  if not died then
    put_back(id, attempt, failures)
    alive[#alive + 1] = id
  end
end
for i = #alive, 1, -1 do
  call('LPUSH', P .. 'ready', alive[i])
end
return #late
