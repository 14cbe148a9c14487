-- Extends leases by the full lease time. ARGV: worker, index, then id, attempt of each. Returns "1" per lease still
-- held, "0" per lost one.
local held, number = {}, number_of(ARGV[1])
for i = 3, #ARGV, 2 do
  local lease = call('HGET', P .. 'leases', ARGV[i])
  local attempt, _, worker = string.match(lease or '', LEASE_RECORD)
  if attempt == ARGV[i + 1] and worker == number then
    call('ZADD', P .. 'leased', NOW + LEASE, ARGV[i])
    held[#held + 1] = '1'
  else
    held[#held + 1] = '0'
  end
end
heard(ARGV[1], ARGV[2], false)
return table.concat(held)
