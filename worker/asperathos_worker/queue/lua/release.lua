-- Hands items back unharmed, to the front of the queue. ARGV: worker, then id, attempt of each. Returns how many were
-- still held by that attempt.
local released = 0
for i = #ARGV - 1, 2, -2 do
  local id = ARGV[i]
  local lease = call('HGET', P .. 'leases', id)
  if lease then
    local attempt, failures = string.match(lease, LEASE_RECORD)
    if attempt == ARGV[i + 1] then
      local _, _, _, err = tries_of(id)
      unlease(id)
      call('HSET', P .. 'tries', id, attempt .. ' ' .. failures .. ' ' .. NOW_TEXT .. ' ' .. (err or ''))
      call('LPUSH', P .. 'ready', id)
      released = released + 1
    end
  end
end
count('released', released)
heard(ARGV[1], nil, released > 0)
flush()
return released
