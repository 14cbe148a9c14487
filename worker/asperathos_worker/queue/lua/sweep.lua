-- Returns expired leases to the front of the queue, or buries them, at most ARGV[1]. Returns how many moved.
local late = call('ZRANGEBYSCORE', P .. 'leased', '-inf', NOW, 'LIMIT', 0, ARGV[1])
local alive = {}
for _, id in ipairs(late) do
  if not expire(id) then
    unlease(id)
    alive[#alive + 1] = id
  end
end
for i = #alive, 1, -1 do
  call('LPUSH', P .. 'ready', alive[i])
end
flush()
return #late
