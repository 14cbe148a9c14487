-- A snapshot: time, closed, stopped, limit, how many were put, are ready, delayed, leased, done and dead, when the
-- longest-waiting ready item became ready ("" unless a stream), the counters, and the lease records.
fold()
local oldest = ''
if STREAM then
  -- Items handed back are at the front and became ready later than the first that was never taken.
  for _, id in ipairs(call('LRANGE', P .. 'ready', 0, 99)) do
    local header = string.match(call('HGET', P .. 'items', id), ITEM)
    local readied, attempt = string.match(header, RETURNED_HEADER)
    if readied and (oldest == '' or tonumber(readied) < tonumber(oldest)) then
      oldest = readied
    end
    if attempt == '0' then
      break
    end
  end
end
return {NOW_TEXT, rule('closed'), STOPPED and 1 or 0, rules[4] or '', call('HLEN', P .. 'items') + TRIMMED,
  call('LLEN', P .. 'ready'), call('ZCARD', P .. 'delayed'), call('ZCARD', P .. 'leased'),
  call('LLEN', P .. 'finished') + TRIMMED, call('HLEN', P .. 'dead'), oldest, call('HGETALL', P .. 'counters'),
  call('HVALS', P .. 'leases')}
