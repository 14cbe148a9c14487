-- Acknowledges finished items, then hands out up to n more.
-- ARGV: worker, index, n, call, then id, attempt, result of each acknowledgement. "call" is new with every call of a
-- client but the same when it repeats one whose answer it did not get.
-- Returns JSON: [verdict, lease (us), "1" or "0" per acknowledgement, then id, payload, attempt, failures per lease].
local CHUNK = 1000 -- items per command, as Lua's unpack has its limit
local name, index, n, this_call = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
local number, old_index, seen, free, took, last_call
local record = call('HGET', P .. 'workers', name)
if record then
  number, old_index, seen, free, took, last_call = string.match(record, WORKER_RECORD)
else
  number, seen, free, took, last_call = text(call('RPUSH', P .. 'names', name) - 1), 0, '0', '0', ''
end
local changed = false

-- The common case, which the rest of this script would handle the same at half the speed: one item finished at its
-- first attempt, one asked for, nothing expired or due, and an item ready.
local function one_for_one()
  local id, lease = ARGV[5], call('HGET', P .. 'leases', ARGV[5])
  local attempt, failures, worker, _, started = string.match(lease or '', LEASE_RECORD)
  if attempt ~= '1' or ARGV[6] ~= '1' or worker ~= number or last_call == this_call
    or #ARGV[7] > RESULT_LIMIT or #call('ZRANGEBYSCORE', P .. 'leased', '-inf', NOW_TEXT, 'LIMIT', 0, 1) > 0
    or #call('ZRANGEBYSCORE', P .. 'delayed', '-inf', NOW_TEXT, 'LIMIT', 0, 1) > 0 then
    return nil
  end
  local following = call('LPOP', P .. 'ready')
  if not following then
    return nil
  end
  local items = call('HMGET', P .. 'items', id, following)
  local _, payload_start = string.match(items[1], ITEM)
  local header, start = string.match(items[2], ITEM)
  local _, tries, failed_before = string.match(header, RETURNED_HEADER)
  tries, failed_before = (tries or 0) + 1, (failed_before or 0) + 0
  local length = call('RPUSH', P .. 'finished', '1 ' .. failures .. ' ' .. worker .. ' ' .. started .. ' ' .. NOW_TEXT
    .. ' ' .. #id .. ' ' .. id .. ARGV[7])
  call('HSET', P .. 'items', id, 'd' .. length + TRIMMED - 1 .. ':' .. string.sub(items[1], payload_start))
  call('HDEL', P .. 'leases', id)
  call('ZREM', P .. 'leased', id)
  call('HSET', P .. 'leases', following, tries .. ' ' .. failed_before .. ' ' .. number .. ' ' .. index .. ' ' .. NOW_TEXT)
  call('ZADD', P .. 'leased', NOW + LEASE, following)
  observe({'service ' .. math.max(0, NOW - math.max(tonumber(started), tonumber(free))) .. ' 1'})
  call('HSET', P .. 'workers', name, number .. ' ' .. index .. ' ' .. NOW_TEXT .. ' ' .. NOW_TEXT .. ' ' .. NOW_TEXT
    .. ' ' .. this_call)
  return cjson.encode({'items', LEASE, '1', following, string.sub(items[2], start), tries, failed_before})
end

if #ARGV == 7 and n == 1 and record and not STREAM and not STOPPED and LIMIT == math.huge then
  local answer = one_for_one()
  if answer then
    return answer
  end
end

-- Acknowledgements from ARGV[first] to ARGV[last]: of the attempt that holds the item, by the worker that took it. One
-- that repeats the accepted one is accepted and changes nothing. Of a result over the limit the item dies: the same
-- attempt would bring the same again.
local verdicts, finished, first_start, buried = {}, 0, NOW, false
local function acknowledge(first, last)
  local ids = {}
  for i = first, last, 3 do
    ids[#ids + 1] = ARGV[i]
  end
  local leases, items = call('HMGET', P .. 'leases', unpack(ids)), call('HMGET', P .. 'items', unpack(ids))
  local accepted, taken_again, records, starts = {}, {}, {}, {}
  local mine = {}
  for k, id in ipairs(ids) do
    local attempt, result = ARGV[first + 3 * k - 2], ARGV[first + 3 * k - 1]
    local verdict = '0'
    if mine[id] then
      verdict = mine[id] == attempt and '1' or '0'
    elseif leases[k] then
      local held, failures, worker, _, started = string.match(leases[k], LEASE_RECORD)
      if held == attempt and worker == number and #result > RESULT_LIMIT then
        mine[id] = ''
        failed(id, attempt, worker, failures + 1, 'result of ' .. #result .. ' bytes is over the limit of '
          .. RESULT_LIMIT .. ': store it elsewhere (a file, an object store) and return its address', true)
        count('failed', 1)
        buried = true
      elseif held == attempt and worker == number then
        local at = #accepted + 1
        local _, start = string.match(items[k], ITEM)
        mine[id] = attempt
        accepted[at] = id
        starts[at] = string.sub(items[k], start)
        records[at] = attempt .. ' ' .. failures .. ' ' .. worker .. ' ' .. started .. ' ' .. NOW_TEXT .. ' ' .. #id
          .. ' ' .. id .. result
        if attempt ~= '1' then
          taken_again[#taken_again + 1] = id
        end
        first_start = math.min(first_start, tonumber(started))
        verdict = '1'
      end
    elseif items[k] then
      local position = string.match(items[k], '^d(%d+):')
      if position then
        local kept = call('LINDEX', P .. 'finished', position - TRIMMED)
        local kept_attempt, kept_worker = string.match(kept or '', '^(%d+) %d+ (%d+)')
        if kept_attempt == attempt and kept_worker == number then
          verdict = '1'
        end
      end
    end
    verdicts[#verdicts + 1] = verdict
  end
  if #accepted > 0 then
    -- First what a server without memory left allows too: it then lets the rest pass, and only refuses new items.
    call('HDEL', P .. 'leases', unpack(accepted))
    call('ZREM', P .. 'leased', unpack(accepted))
    local position = call('RPUSH', P .. 'finished', unpack(records)) + TRIMMED - #records
    local pairs = {}
    for k, id in ipairs(accepted) do
      pairs[2 * k - 1] = id
      pairs[2 * k] = 'd' .. position + k - 1 .. ':' .. starts[k]
    end
    call('HSET', P .. 'items', unpack(pairs))
    if #taken_again > 0 then
      call('HDEL', P .. 'errors', unpack(taken_again))
    end
    finished = finished + #accepted
  end
end

for first = 5, #ARGV, 3 * CHUNK do
  acknowledge(first, math.min(first + 3 * CHUNK - 1, #ARGV))
end
if finished > 0 then
  -- What a worker hands in together it has worked off one after the other since it was last free.
  local busy = math.max(0, NOW - math.max(first_start, tonumber(free)))
  observe({'service ' .. busy / finished .. ' ' .. finished})
  free = NOW_TEXT
  changed = true
  local retain = STREAM and rule('retain') or 0
  if retain > 0 then
    local excess = math.min(call('LLEN', P .. 'finished') - retain, CHUNK)
    for _ = 1, excess do
      local oldest = call('LPOP', P .. 'finished')
      local length, start = string.match(oldest, '^%d+ %d+ %d+ %d+ %d+ (%d+) ()')
      call('HDEL', P .. 'items', string.sub(oldest, start, start + length - 1))
      call('HINCRBY', P .. 'config', 'trimmed', 1)
    end
  end
end

if buried then
  free = NOW_TEXT
  changed = true
end

local answer = {'wait', LEASE, table.concat(verdicts)}
local handed = 0

local function tell(id, payload, attempt, failures)
  local at = 3 + 4 * handed
  answer[at + 1], answer[at + 2], answer[at + 3], answer[at + 4] = id, payload, attempt + 0, failures + 0
  handed = handed + 1
end

-- Leases items to this worker. Each of known, if any, is {attempt, failures, since when it could have been taken}; the
-- items' headers know the rest.
local function hand_out(ids, known)
  if #ids == 0 then
    return
  end
  local items = call('HMGET', P .. 'items', unpack(ids))
  local leases, ends, waits, lease_end = {}, {}, {}, text(NOW + LEASE)
  local rest = ' ' .. number .. ' ' .. index .. ' ' .. NOW_TEXT
  for k, id in ipairs(ids) do
    local header, start = string.match(items[k], ITEM)
    local readied, attempt, failures = NOW, 0, 0
    if known then
      attempt, failures, readied = unpack(known[k])
    elseif header ~= '' then
      readied, attempt, failures = string.match(header, RETURNED_HEADER)
    end
    attempt = attempt + 1
    leases[2 * k - 1], leases[2 * k] = id, attempt .. ' ' .. failures .. rest
    ends[2 * k - 1], ends[2 * k] = lease_end, id
    if STREAM then
      waits[k] = 'wait ' .. math.max(0, NOW - tonumber(readied)) .. ' 1'
    end
    tell(id, string.sub(items[k], start), attempt, failures)
  end
  call('HSET', P .. 'leases', unpack(leases))
  call('ZADD', P .. 'leased', unpack(ends))
  if STREAM then
    observe(waits)
  end
end

-- A repeated call gets what it took the first time, as far as it is still its own.
if n > 0 and last_call == this_call then
  local leases = call('HGETALL', P .. 'leases')
  for i = 1, #leases, 2 do
    local attempt, failures, worker, _, started = string.match(leases[i + 1], LEASE_RECORD)
    if worker == number and started == took then
      local item = call('HGET', P .. 'items', leases[i])
      local _, start = string.match(item, ITEM)
      tell(leases[i], string.sub(item, start), attempt, failures)
    end
  end
end

local draining = LIMIT <= tonumber(index)
if n > 0 and handed == 0 and not STOPPED and not draining then
  -- Expired leases. At most CHUNK of them die in one call, so that a call stays short.
  local dead = 0
  while handed < n and dead < CHUNK do
    local late = call('ZRANGEBYSCORE', P .. 'leased', '-inf', NOW_TEXT, 'LIMIT', 0, math.min(n - handed, CHUNK))
    if #late == 0 then
      break
    end
    local alive, known = {}, {}
    for _, id in ipairs(late) do
      local ended = call('ZSCORE', P .. 'leased', id)
      local died, attempt, failures = expire(id)
      if died then
        dead = dead + 1
      else
        alive[#alive + 1] = id
        known[#known + 1] = {attempt, failures, ended}
      end
    end
    hand_out(alive, known)
  end
  -- Items whose backoff has ended.
  while handed < n do
    local due = call('ZRANGEBYSCORE', P .. 'delayed', '-inf', NOW_TEXT, 'LIMIT', 0, math.min(n - handed, CHUNK))
    if #due == 0 then
      break
    end
    local known = {}
    for k, id in ipairs(due) do
      local header = string.match(call('HGET', P .. 'items', id), ITEM)
      local _, attempt, failures = string.match(header, RETURNED_HEADER)
      known[k] = {attempt, failures, call('ZSCORE', P .. 'delayed', id)}
    end
    call('ZREM', P .. 'delayed', unpack(due))
    hand_out(due, known)
  end
  -- Ready ones.
  while handed < n do
    local ids
    if n - handed == 1 then
      ids = {call('LPOP', P .. 'ready') or nil}
    else
      ids = call('LRANGE', P .. 'ready', 0, math.min(n - handed, CHUNK) - 1)
      call('LTRIM', P .. 'ready', #ids, -1)
    end
    if #ids == 0 then
      break
    end
    hand_out(ids)
  end
  if handed > 0 then
    took, last_call = NOW_TEXT, this_call
    changed = true
  end
end

if handed > 0 then
  answer[1] = 'items'
elseif STOPPED then
  answer[1] = 'stopped'
elseif over() or draining and emptied() then
  -- A draining worker is not needed for the last items even if their workers die: those below the limit stay.
  answer[1] = 'over'
elseif draining then
  answer[1] = 'drain'
end

-- An idle worker is noted once a second.
if changed or index ~= old_index or NOW - seen > 1000000 then
  call('HSET', P .. 'workers', name, number .. ' ' .. index .. ' ' .. NOW_TEXT .. ' ' .. free .. ' ' .. took .. ' '
    .. last_call)
end
return cjson.encode(answer)
