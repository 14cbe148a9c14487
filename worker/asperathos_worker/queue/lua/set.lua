-- Sets one field of the config. ARGV: field, value; an empty value removes it.
if ARGV[2] == '' then
  call('HDEL', P .. 'config', ARGV[1])
else
  call('HSET', P .. 'config', ARGV[1], ARGV[2])
end
return 1
