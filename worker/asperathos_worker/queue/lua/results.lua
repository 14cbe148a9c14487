-- A page of results. ARGV: cursor, count. Returns the position of the first one, the records, and the workers' names.
local trimmed = (call('HGET', P .. 'counters', 'done') or 0) - call('LLEN', P .. 'finished')
local first = math.max(tonumber(ARGV[1]), trimmed)
return {string.format('%.0f', first),
  call('LRANGE', P .. 'finished', first - trimmed, first - trimmed + ARGV[2] - 1), call('LRANGE', P .. 'names', 0, -1)}
