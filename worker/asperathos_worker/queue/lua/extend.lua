-- Extends leases by the full lease time. ARGV: worker, index, how long an attempt may last at most (us, '' for any
-- time), then id, attempt of each. Returns "1" per lease still held, "0" per lost one: an attempt that has lasted too
-- long has failed.
local held, number, longest, is_free = {}, number_of(ARGV[1]), tonumber(ARGV[3]), false
for i = 4, #ARGV, 2 do
  local id = ARGV[i]
  local attempt, failures, worker, _, started = string.match(call('HGET', P .. 'leases', id) or '', LEASE_RECORD)
  if attempt ~= ARGV[i + 1] or worker ~= number then
    held[#held + 1] = '0'
  elseif longest and NOW - started >= longest then
    fail(id, attempt, worker, failures, 'timed out: not finished ' .. longest / 1000000 .. ' s after it was taken')
    is_free = true
    held[#held + 1] = '0'
  else
    call('ZADD', P .. 'leased', NOW + LEASE, id)
    held[#held + 1] = '1'
  end
end
heard(ARGV[1], ARGV[2], is_free)
return table.concat(held)
