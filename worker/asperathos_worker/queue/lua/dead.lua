-- A page of dead items. ARGV: cursor, count. Returns ids, their records, and the workers' names.
local ids = call('LRANGE', P .. 'dead_order', ARGV[1], ARGV[1] + ARGV[2] - 1)
local records = {}
for i, id in ipairs(ids) do
  records[i] = call('HGET', P .. 'dead', id)
end
return {ids, records, call('LRANGE', P .. 'names', 0, -1)}
