-- Reports a failed attempt. ARGV: worker, id, attempt, permanent ("1" or "0"), error. Returns 1, or 0 if the lease
-- is no longer this attempt's, or is another worker's.
local id = ARGV[2]
local lease = call('HGET', P .. 'leases', id)
if not lease then
  return 0
end
local attempt, failures, worker = string.match(lease, LEASE_RECORD)
if attempt ~= ARGV[3] or worker ~= number_of(ARGV[1]) then
  return 0
end
fail(id, attempt, worker, failures, ARGV[5], ARGV[4] == '1')
heard(ARGV[1], nil, true)
return 1
