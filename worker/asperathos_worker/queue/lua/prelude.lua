-- Put before every script but open.lua.
--
-- The keys of submission S's queue. All share the prefix KEYS[1] = "asp:{S}:q:", hence one cluster slot and one
-- ACL pattern. Times are microseconds of Redis's clock, as decimal strings; <worker> is a position in names.
--
--   config      hash    lease, backoff_base, backoff_cap (us), retries, retain, result_limit (bytes; 0 or absent: none),
--                       stream (0 or 1); closed, stopped (1 or absent); limit (absent: none); trimmed: how many finished items a stream has dropped.
--                       Exists if and only if the queue does.
--   items       hash    id -> "<header>:<payload>", with one of these headers
--                         (empty)                           never taken
--                         r<readied> <attempt> <failures>   came back, and when; or put into a stream, and when
--                         d<position>                       done, and its place in the order of completion
--                       While an item is leased or dead, leases or dead know better than its header.
--   ready       list    ids, next one first
--   delayed     zset    id -> when its backoff ends
--   leased      zset    id -> when its lease ends
--   leases      hash    id -> "<attempt> <failures> <worker> <index> <started>", the same ids as leased
--   errors      hash    id -> last error, of items that failed and are neither done nor dead
--   finished    list    "<attempt> <failures> <worker> <started> <finished> <bytes in id> <id><result>" in order of
--                       completion; a stream drops the oldest beyond retain, so an item's index is position - trimmed
--   dead        hash    id -> "<attempt> <worker> <at> <failures> <error>"
--   dead_order  list    ids in order of death
--   failures    list    "<attempt> <worker> <at> <final> <bytes in id> <id><error>", newest first, at most 1000
--   names       list    the workers' names
--   workers     hash    name -> "<worker> <index> <seen> <free> <took> <call>": when it was heard of, when it last
--                       handed an item in, when it last took items, and the call that did so
--   puts        zset    token of a batch with unnumbered items -> when it was put, for ten minutes
--   durations   list    "<service or wait> <us> <times>", the last few, not yet in the histograms
--   counters    hash    failed, expired, released, next (number for unnumbered items), and the histograms:
--                       service:<bucket>, service:total (us), service:squares (s^2), service:longest (us); so for wait
--   reported    hash    "<worker's name>\n<metric>" -> value
--
-- An id is in exactly one of ready, delayed, leased, dead, or has a position. An item that succeeds at once has two
-- entries at rest: in items, and in ready or finished.

local P = KEYS[1]
local call = redis.call

local rules = call('HMGET', P .. 'config', 'lease', 'stream', 'stopped', 'limit', 'trimmed', 'clock_shift_for_tests',
  'result_limit')
if not rules[1] then
  return redis.error_reply('QUEUEMISSING no queue at ' .. P)
end
local LEASE, STREAM, STOPPED = tonumber(rules[1]), rules[2] == '1', rules[3] == '1'
local LIMIT, TRIMMED = rules[4] and tonumber(rules[4]) or math.huge, rules[5] and tonumber(rules[5]) or 0
local RESULT_LIMIT = rules[7] and rules[7] ~= '0' and tonumber(rules[7]) or math.huge
local ERROR_LIMIT = 16384 -- bytes; the workers' own limit is 4000 characters

-- The rules that few calls need.
local function rule(name)
  return tonumber(call('HGET', P .. 'config', name) or 0)
end

-- A time as text: Lua's own conversion keeps 14 digits, a time has 16.
local function text(microseconds)
  return string.format('%.0f', microseconds)
end

local time = call('TIME')
local NOW = time[1] * 1000000 + time[2]
local NOW_TEXT = time[1] .. string.sub('00000' .. time[2], -6)
-- Only a test that writes to the config hash by hand can shift the clock: no script does.
if rules[6] then
  NOW = NOW + rules[6]
  NOW_TEXT = text(NOW)
end

local ITEM = '^([^:]*):()'
local RETURNED_HEADER = '^r(%d+) (%d+) (%d+)$'
local LEASE_RECORD = '^(%d+) (%d+) (%d+) (%-?%d+) (%d+)$'
local WORKER_RECORD = '^(%d+) (%-?%d+) (%d+) (%d+) (%d+) (.*)$'

local function count(field, by)
  call('HINCRBY', P .. 'counters', field, by)
end

-- Moves the durations into the histograms.
local function fold()
  local sums, longest = {}, {}
  for _, entry in ipairs(call('LRANGE', P .. 'durations', 0, -1)) do
    local kind, microseconds, times = string.match(entry, '^(%a+) (%S+) (%d+)$')
    local seconds, bucket = microseconds / 1000000, 0
    if seconds > 0.001 then
      bucket = math.ceil(math.log(seconds / 0.001) / math.log(1.25))
    end
    local function add(field, amount)
      sums[field] = (sums[field] or 0) + amount
    end
    add(kind .. ':' .. bucket, times)
    add(kind .. ':total', microseconds * times)
    add(kind .. ':squares', seconds * seconds * times)
    longest[kind] = math.max(longest[kind] or 0, tonumber(microseconds))
  end
  for field, sum in pairs(sums) do
    if string.sub(field, -7) == 'squares' then
      call('HINCRBYFLOAT', P .. 'counters', field, sum)
    else
      call('HINCRBY', P .. 'counters', field, text(sum))
    end
  end
  for kind, microseconds in pairs(longest) do
    if microseconds > tonumber(call('HGET', P .. 'counters', kind .. ':longest') or -1) then
      call('HSET', P .. 'counters', kind .. ':longest', text(microseconds))
    end
  end
  call('DEL', P .. 'durations')
end

-- Keeps durations. They are summed up by the few hundred, which costs a worker's call much less than one by one.
local function observe(entries)
  if call('RPUSH', P .. 'durations', unpack(entries)) >= 200 then
    fold()
  end
end

-- Whether nothing waits and nothing more comes: what is left, if anything, is in work.
local function emptied()
  return rule('closed') == 1 and call('LLEN', P .. 'ready') == 0 and call('ZCARD', P .. 'delayed') == 0
end

local function over()
  return emptied() and call('ZCARD', P .. 'leased') == 0
end

-- A worker's place in names, as leases have it; '' for one that never took an item.
local function number_of(name)
  return string.match(call('HGET', P .. 'workers', name) or '', '^%d+') or ''
end

local function unlease(id)
  call('HDEL', P .. 'leases', id)
  call('ZREM', P .. 'leased', id)
end

-- Ends the item's lease and notes what is known of it, before it is made ready or delayed.
local function put_back(id, attempt, failures)
  local item = call('HGET', P .. 'items', id)
  local _, start = string.match(item, ITEM)
  unlease(id)
  call('HSET', P .. 'items', id, 'r' .. NOW_TEXT .. ' ' .. attempt .. ' ' .. failures .. ':' .. string.sub(item, start))
end

-- Keeps the error of a failed attempt, the end of one that is too long. Returns whether it was the last one; then the
-- item is dead.
local function failed(id, attempt, worker, failures, err, permanent)
  if #err > ERROR_LIMIT then
    -- Not from the middle of a character on.
    err = '...' .. string.match(string.sub(err, 4 - ERROR_LIMIT), '^[\128-\191]*(.*)$')
  end
  local final = permanent or failures > rule('retries')
  local at = attempt .. ' ' .. worker .. ' ' .. NOW_TEXT .. ' '
  call('LPUSH', P .. 'failures', at .. (final and 1 or 0) .. ' ' .. #id .. ' ' .. id .. err)
  call('LTRIM', P .. 'failures', 0, 999)
  if final then
    unlease(id)
    call('HDEL', P .. 'errors', id)
    call('HSET', P .. 'dead', id, at .. failures .. ' ' .. err)
    call('RPUSH', P .. 'dead_order', id)
  else
    call('HSET', P .. 'errors', id, err)
  end
  return final
end

-- Charges the item for a failed attempt; it comes back after a backoff unless it is dead.
local function fail(id, attempt, worker, failures, err, permanent)
  failures = failures + 1
  if not failed(id, attempt, worker, failures, err, permanent) then
    put_back(id, attempt, failures)
    local backoff = math.min(rule('backoff_cap'), rule('backoff_base') * 2 ^ (failures - 1))
    call('ZADD', P .. 'delayed', NOW + backoff, id)
  end
  count('failed', 1)
end

-- Charges the item for a lease that ran out. Returns whether it is dead now, its attempt, and its failures.
local function expire(id)
  local attempt, failures, worker = string.match(call('HGET', P .. 'leases', id), LEASE_RECORD)
  local name = call('LINDEX', P .. 'names', worker)
  failures = failures + 1
  count('expired', 1)
  return failed(id, attempt, worker, failures, 'lease expired: ' .. name .. ' neither finished the item nor extended '
    .. 'its lease in time'), attempt, failures
end

-- Notes that a worker was heard of now; handed_in: that it is free of an item from now on.
local function heard(name, index, handed_in)
  local record = call('HGET', P .. 'workers', name)
  if record then
    local number, old_index, _, free, took, last = string.match(record, WORKER_RECORD)
    call('HSET', P .. 'workers', name, number .. ' ' .. (index or old_index) .. ' ' .. NOW_TEXT .. ' '
      .. (handed_in and NOW_TEXT or free) .. ' ' .. took .. ' ' .. last)
  end
end

