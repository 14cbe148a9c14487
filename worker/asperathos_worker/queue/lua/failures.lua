-- The latest failures. ARGV: count. Returns the records and the workers' names.
return {call('LRANGE', P .. 'failures', 0, ARGV[1] - 1), call('LRANGE', P .. 'names', 0, -1)}
