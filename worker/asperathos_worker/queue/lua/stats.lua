-- A snapshot: time, closed, stopped, limit, lengths of ready, delayed, leased and dead, when the longest-waiting ready
-- item became ready ("" unless a stream), the counters, and the lease records.
local oldest = ''
if STREAM then
  -- Items handed back are at the front and became ready later than those behind them.
  local ids = call('LRANGE', P .. 'ready', 0, 99)
  for _, id in ipairs(ids) do
    local _, _, readied = tries_of(id)
    readied = readied or string.match(call('HGET', P .. 'items', id), '^%d*:(%d*):')
    if readied ~= '' and (oldest == '' or tonumber(readied) < tonumber(oldest)) then
      oldest = readied
    end
    if not tries_of(id) then
      break
    end
  end
end
return {NOW_TEXT, CLOSED and 1 or 0, STOPPED and 1 or 0, rules[9] or '', call('LLEN', P .. 'ready'),
  call('ZCARD', P .. 'delayed'), call('ZCARD', P .. 'leased'), call('HLEN', P .. 'dead'), oldest,
  call('HGETALL', P .. 'counters'), call('HVALS', P .. 'leases')}
