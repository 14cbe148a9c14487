-- Where items are. ARGV: ids. Returns, for each that is known: id, payload, place, attempt, failures, worker's name,
-- last error.
local out = {}
local trimmed = (call('HGET', P .. 'counters', 'done') or 0) - call('LLEN', P .. 'finished')
for _, id in ipairs(ARGV) do
  local item = call('HGET', P .. 'items', id)
  if item then
    local position, start = string.match(item, '^(%d*):%d*:()')
    local attempt, failures, _, err = tries_of(id)
    local place, worker = 'ready', nil
    local dead = call('HGET', P .. 'dead', id)
    local lease = call('HGET', P .. 'leases', id)
    if position ~= '' then
      place = 'done'
      local record = call('LINDEX', P .. 'finished', string.format('%.0f', position - trimmed))
      attempt, failures, worker = string.match(record, '^(%d+) (%d+) (%d+)')
    elseif dead then
      place = 'dead'
      attempt, worker, failures, err = string.match(dead, '^(%d+) (%d+) %d+ (%d+) (.*)$')
    elseif lease then
      place = 'leased'
      attempt, failures, worker = string.match(lease, LEASE_RECORD)
    elseif call('ZSCORE', P .. 'delayed', id) then
      place = 'delayed'
    end
    out[#out + 1] = {id, string.sub(item, start), place, tonumber(attempt or 0), tonumber(failures or 0),
      worker and call('LINDEX', P .. 'names', worker) or '', err or ''}
  end
end
return out
