-- A page of results. ARGV: cursor, count. Returns the position of the first one, the records, and the workers' names.
local first = math.max(tonumber(ARGV[1]), TRIMMED) - TRIMMED
return {text(first + TRIMMED), call('LRANGE', P .. 'finished', first, first + ARGV[2] - 1),
  call('LRANGE', P .. 'names', 0, -1)}
