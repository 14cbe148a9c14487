-- Acknowledges finished items, then hands out up to n more.
-- ARGV: worker, index, n, call, then id, attempt, result of each acknowledgement. "call" is new with every call of a
-- client but the same when it repeats one whose answer it did not get.
-- Returns JSON: [verdict, lease (us), "1" or "0" per acknowledgement, then id, payload, attempt, failures per lease].
local name, index, n, this_call = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
local number, old_index, seen, free, took, last_call
local record = call('HGET', P .. 'workers', name)
if record then
  number, old_index, seen, free, took, last_call = string.match(record, WORKER_RECORD)
else
  number, seen, free, took, last_call = call('RPUSH', P .. 'names', name) - 1, 0, '0', '0', ''
end
local changed = false

-- Acknowledgements. One that repeats the accepted one is accepted and changes nothing.
local accepted = {}
if #ARGV > 4 then
  local done = tonumber(call('HGET', P .. 'counters', 'done') or 0)
  local now_done, first_start = 0, NOW
  for i = 5, #ARGV, 3 do
    local id, attempt, result = ARGV[i], ARGV[i + 1], ARGV[i + 2]
    local lease = call('HGET', P .. 'leases', id)
    local held, failures, worker, started, _
    if lease then
      held, failures, worker, _, started = string.match(lease, LEASE_RECORD)
    end
    local verdict = '0'
    if held == attempt then
      local item = call('HGET', P .. 'items', id)
      local payload = string.sub(item, string.match(item, '^%d*:%d*:()'))
      unlease(id)
      if attempt ~= '1' then
        call('HDEL', P .. 'tries', id)
      end
      call('HSET', P .. 'items', id, string.format('%.0f::', done + now_done) .. payload)
      call('RPUSH', P .. 'finished', attempt .. ' ' .. failures .. ' ' .. worker .. ' ' .. started .. ' '
        .. NOW_TEXT .. ' ' .. #id .. ' ' .. id .. result)
      now_done = now_done + 1
      first_start = math.min(first_start, tonumber(started))
      verdict = '1'
    elseif not lease then
      local item = call('HGET', P .. 'items', id)
      local position = item and string.match(item, '^(%d+):')
      if position then
        local trimmed = done + now_done - call('LLEN', P .. 'finished')
        local kept = call('LINDEX', P .. 'finished', string.format('%.0f', position - trimmed))
        if kept and string.match(kept, '^%d+') == attempt then
          verdict = '1'
        end
      end
    end
    accepted[#accepted + 1] = verdict
  end
  if now_done > 0 then
    -- What a worker hands in together it has worked off one after the other since it was last free.
    local busy = math.max(0, NOW - math.max(first_start, tonumber(free)))
    observe('service', busy / now_done, now_done)
    count('done', now_done)
    free = NOW_TEXT
    changed = true
    if RETAIN > 0 then
      local excess = math.min(call('LLEN', P .. 'finished') - RETAIN, 1000)
      for _ = 1, excess do
        local oldest = call('LPOP', P .. 'finished')
        local length, start = string.match(oldest, '^%d+ %d+ %d+ %d+ %d+ (%d+) ()')
        call('HDEL', P .. 'items', string.sub(oldest, start, start + length - 1))
      end
    end
  end
end

local answer = {'wait', LEASE, table.concat(accepted)}

local function tell(id, payload, attempt, failures)
  local at = #answer
  answer[at + 1], answer[at + 2], answer[at + 3], answer[at + 4] = id, payload, attempt + 0, failures + 0
end

-- Leases the item to this worker; readied: since when it could have been taken (nil: since it was put).
local function hand_out(id, attempt, failures, readied)
  local item = call('HGET', P .. 'items', id)
  local stamp, start = string.match(item, '^%d*:(%d*):()')
  attempt = attempt + 1
  call('HSET', P .. 'leases', id, attempt .. ' ' .. failures .. ' ' .. number .. ' ' .. index .. ' ' .. NOW_TEXT)
  call('ZADD', P .. 'leased', NOW + LEASE, id)
  if STREAM then
    observe('wait', math.max(0, NOW - tonumber(readied or stamp)), 1)
  end
  tell(id, string.sub(item, start), attempt, failures)
end

local function missing()
  return n - (#answer - 3) / 4
end

-- A repeated call gets what it took the first time, as far as it is still its own.
if n > 0 and last_call == this_call then
  local leases = call('HGETALL', P .. 'leases')
  for i = 1, #leases, 2 do
    local attempt, failures, worker, _, started = string.match(leases[i + 1], LEASE_RECORD)
    if worker == number and started == took then
      local item = call('HGET', P .. 'items', leases[i])
      tell(leases[i], string.sub(item, string.match(item, '^%d*:%d*:()')), attempt, failures)
    end
  end
end

local draining = LIMIT <= tonumber(index)
if n > 0 and #answer == 3 and not STOPPED and not draining then
  -- Expired leases. At most 1000 of them die in one call, so that a call stays short.
  local dead = 0
  while missing() > 0 and dead < 1000 do
    local late = call('ZRANGEBYSCORE', P .. 'leased', '-inf', NOW, 'LIMIT', 0, missing())
    if #late == 0 then
      break
    end
    for _, id in ipairs(late) do
      local ended = STREAM and call('ZSCORE', P .. 'leased', id) or nil
      local died, attempt, failures = expire(id)
      if died then
        dead = dead + 1
      else
        hand_out(id, attempt, failures, ended)
      end
    end
  end
  -- Items whose backoff has ended.
  if missing() > 0 then
    for _, id in ipairs(call('ZRANGEBYSCORE', P .. 'delayed', '-inf', NOW, 'LIMIT', 0, missing())) do
      local due = STREAM and call('ZSCORE', P .. 'delayed', id) or nil
      call('ZREM', P .. 'delayed', id)
      local attempt, failures = tries_of(id)
      hand_out(id, attempt, failures, due)
    end
  end
  -- Ready ones.
  if missing() > 0 then
    local ids
    if missing() == 1 then
      ids = {call('LPOP', P .. 'ready') or nil}
    else
      ids = call('LRANGE', P .. 'ready', 0, missing() - 1)
      call('LTRIM', P .. 'ready', #ids, -1)
    end
    for _, id in ipairs(ids) do
      local attempt, failures, readied = tries_of(id)
      hand_out(id, attempt or 0, failures or 0, readied)
    end
  end
  if #answer > 3 then
    count('taken', (#answer - 3) / 4)
    took, last_call = NOW_TEXT, this_call
    changed = true
  end
end

if #answer > 3 then
  answer[1] = 'items'
elseif STOPPED then
  answer[1] = 'stopped'
elseif over() then
  answer[1] = 'over'
elseif draining then
  answer[1] = 'drain'
end

-- An idle worker is noted once a second.
if changed or index ~= old_index or NOW - seen > 1000000 then
  call('HSET', P .. 'workers', name, number .. ' ' .. index .. ' ' .. NOW_TEXT .. ' ' .. free .. ' ' .. took .. ' '
    .. last_call)
end
flush()
return cjson.encode(answer)
