-- Put before every script but open.lua.
--
-- The keys of submission S's queue. All share the prefix KEYS[1] = "asp:{S}:q:", hence one cluster slot and one
-- ACL pattern. Times are microseconds of Redis's clock, as decimal strings.
--
--   config      hash    lease, backoff_base, backoff_cap (us), retries, retain, stream (0 or 1); closed, stopped
--                       (1 or absent); limit (absent: none). Exists if and only if the queue does.
--   items       hash    id -> "<position>:<stamp>:<payload>". position is empty until the item is done, then its
--                       place in the order of completion; stamp is when a stream's item was put, else empty.
--   ready       list    ids, next one first
--   delayed     zset    id -> when its backoff ends
--   leased      zset    id -> when its lease ends
--   leases      hash    id -> "<attempt> <failures> <worker> <index> <started>", the same ids as leased
--   tries       hash    id -> "<attempt> <failures> <readied> <last error>", for items that came back and are not
--                       finished: an item that succeeds at once never has an entry
--   finished    list    "<attempt> <failures> <worker> <started> <finished> <bytes in id> <id><result>" in order of
--                       completion; a stream drops the oldest beyond retain, so position - (done - LLEN finished)
--                       is the index
--   dead        hash    id -> "<attempt> <worker> <at> <failures> <error>"
--   dead_order  list    ids in order of death
--   failures    list    "<attempt> <worker> <at> <final> <bytes in id> <id><error>", newest first, at most 1000
--   names       list    worker names; everywhere else <worker> is the position here
--   workers     hash    name -> "<worker> <index> <seen> <free> <took> <call>": when it was heard of, when it last
--                       handed an item in, when it last took items, and the call that did so
--   puts        zset    token of a batch with unnumbered items -> when it was put, for ten minutes
--   counters    hash    put, taken, done, failed, expired, released, next (number for unnumbered items), and of the
--                       histograms: service:<bucket>, service:total (us), service:squares (s^2), service:longest
--                       (us), and the same for wait
--   reported    hash    "<worker name>\n<metric>" -> value
--
-- An id is in exactly one of ready, delayed, leased, dead, or has a position. An item that succeeds at once
-- has two entries at rest: in items, and in ready or finished.

local P = KEYS[1]
local call = redis.call

local rules = call('HMGET', P .. 'config', 'lease', 'retries', 'backoff_base', 'backoff_cap', 'retain', 'stream',
  'closed', 'stopped', 'limit', 'clock_shift_for_tests')
if not rules[1] then
  return redis.error_reply('QUEUEMISSING no queue at ' .. P)
end
local LEASE, RETRIES = tonumber(rules[1]), tonumber(rules[2])
local RETAIN, STREAM = tonumber(rules[5]), rules[6] == '1'
local CLOSED, STOPPED, LIMIT = rules[7] == '1', rules[8] == '1', tonumber(rules[9] or 'inf')

-- Only a test that writes to the config hash by hand can shift the clock: no script does.
local time = call('TIME')
local NOW = time[1] * 1000000 + time[2] + (rules[10] or 0)
-- Lua's own conversion keeps 14 digits, a time has 16.
local NOW_TEXT = string.format('%.0f', NOW)

local LEASE_RECORD = '^(%d+) (%d+) (%d+) (%-?%d+) (%d+)$'
local TRIES_RECORD = '^(%d+) (%d+) (%d+) (.*)$'
local WORKER_RECORD = '^(%d+) (%-?%d+) (%d+) (%d+) (%d+) (.*)$'

-- Counters are gathered and written in one go by flush(). Those that end in "longest" are maxima.
local changes, fields = {}, {}
local function count(field, by)
  if changes[field] then
    changes[field] = changes[field] + by
  else
    changes[field] = by
    fields[#fields + 1] = field
  end
end

local function observe(kind, microseconds, times)
  local seconds = microseconds / 1000000
  local bucket = 0
  if seconds > 0.001 then
    bucket = math.ceil(math.log(seconds / 0.001) / math.log(1.25))
  end
  count(kind .. ':' .. bucket, times)
  count(kind .. ':total', microseconds * times)
  count(kind .. ':squares', seconds * seconds * times)
  local longest = kind .. ':longest'
  if microseconds > (changes[longest] or -1) then
    count(longest, microseconds - (changes[longest] or 0))
  end
end

local function flush()
  if #fields == 0 then
    return
  end
  local old, pairs = call('HMGET', P .. 'counters', unpack(fields)), {}
  for i, field in ipairs(fields) do
    local before, change = tonumber(old[i] or 0), changes[field]
    pairs[2 * i - 1] = field
    if string.sub(field, -7) == 'longest' then
      pairs[2 * i] = math.max(before, change)
    else
      pairs[2 * i] = before + change
    end
  end
  call('HSET', P .. 'counters', unpack(pairs))
end

local function over()
  return CLOSED and call('LLEN', P .. 'ready') == 0 and call('ZCARD', P .. 'delayed') == 0
    and call('ZCARD', P .. 'leased') == 0
end

-- What is known of an item that came back: attempt, failures, readied, error; nothing if it never did.
local function tries_of(id)
  local record = call('HGET', P .. 'tries', id)
  if record then
    return string.match(record, TRIES_RECORD)
  end
end

local function unlease(id)
  call('HDEL', P .. 'leases', id)
  call('ZREM', P .. 'leased', id)
end

-- Keeps the error of a failed attempt. Returns whether it was the last one; then the item is dead.
local function failed(id, attempt, worker, failures, err, permanent)
  local final = permanent or failures > RETRIES
  local at = attempt .. ' ' .. worker .. ' ' .. NOW_TEXT .. ' '
  call('LPUSH', P .. 'failures', at .. (final and 1 or 0) .. ' ' .. #id .. ' ' .. id .. err)
  call('LTRIM', P .. 'failures', 0, 999)
  if final then
    unlease(id)
    call('HDEL', P .. 'tries', id)
    call('HSET', P .. 'dead', id, at .. failures .. ' ' .. err)
    call('RPUSH', P .. 'dead_order', id)
  else
    call('HSET', P .. 'tries', id, attempt .. ' ' .. failures .. ' ' .. NOW_TEXT .. ' ' .. err)
  end
  return final
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

