-- Hands items back unharmed, to the front of the queue. ARGV: worker, then id, attempt of each. Returns how many were
-- still held by that attempt and worker.
local released, number = 0, number_of(ARGV[1])
for i = #ARGV - 1, 2, -2 do
  local id = ARGV[i]
  local lease = call('HGET', P .. 'leases', id)
  if lease then
    local attempt, failures, worker = string.match(lease, LEASE_RECORD)
    if attempt == ARGV[i + 1] and worker == number then
      put_back(id, attempt, failures)
      call('LPUSH', P .. 'ready', id)
      released = released + 1
    end
  end
end
if released > 0 then
  count('released', released)
end
heard(ARGV[1], nil, released > 0)
return released
