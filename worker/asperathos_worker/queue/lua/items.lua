-- Where items are. ARGV: ids. Returns, for each that is known: id, payload, place, attempt, failures, worker's name,
-- last error.
local out = {}
for _, id in ipairs(ARGV) do
  local item = call('HGET', P .. 'items', id)
  if item then
    local header, start = string.match(item, ITEM)
    local position = string.match(header, '^d(%d+)$')
    local dead = call('HGET', P .. 'dead', id)
    local lease = call('HGET', P .. 'leases', id)
    local place, attempt, failures, worker, err, _ = 'ready', 0, 0, nil, nil, nil
    if position then
      place = 'done'
      local record = call('LINDEX', P .. 'finished', position - TRIMMED)
      attempt, failures, worker = string.match(record, '^(%d+) (%d+) (%d+)')
    elseif dead then
      place = 'dead'
      attempt, worker, failures, err = string.match(dead, '^(%d+) (%d+) %d+ (%d+) (.*)$')
    else
      err = call('HGET', P .. 'errors', id)
      if lease then
        place = 'leased'
        attempt, failures, worker = string.match(lease, LEASE_RECORD)
      else
        if call('ZSCORE', P .. 'delayed', id) then
          place = 'delayed'
        end
        if header ~= '' then
          _, attempt, failures = string.match(header, RETURNED_HEADER)
        end
      end
    end
    out[#out + 1] = {id, string.sub(item, start), place, tonumber(attempt), tonumber(failures),
      worker and call('LINDEX', P .. 'names', worker) or '', err or ''}
  end
end
return out
