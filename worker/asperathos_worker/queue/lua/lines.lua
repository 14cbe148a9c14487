-- A page of what became of items, without their payloads and results. ARGV: place, cursor, count. Returns the position
-- of the first one, then for each: id, attempt, failures, worker's name, started and ended (us, '' where not known),
-- last error.
local CHUNK = 50 -- records may be large, and Lua holds one chunk of them at a time
local place, first, amount = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local names = {}
local function name_of(number)
  names[number] = names[number] or call('LINDEX', P .. 'names', number)
  return names[number]
end

local function done(record)
  local attempt, failures, worker, started, finished, length, start =
    string.match(record, '^(%d+) (%d+) (%d+) (%d+) (%d+) (%d+) ()')
  return {string.sub(record, start, start + length - 1), attempt, failures, name_of(worker), started, finished, ''}
end

local function dead(id)
  local attempt, worker, at, failures, err = string.match(call('HGET', P .. 'dead', id), '^(%d+) (%d+) (%d+) (%d+) (.*)$')
  return {id, attempt, failures, name_of(worker), '', at, err}
end

local function leased(id)
  local attempt, failures, worker, _, started = string.match(call('HGET', P .. 'leases', id), LEASE_RECORD)
  return {id, attempt, failures, name_of(worker), started, '', call('HGET', P .. 'errors', id) or ''}
end

local function waiting(id)
  local header = string.match(call('HGET', P .. 'items', id), ITEM)
  local _, attempt, failures = string.match(header, RETURNED_HEADER)
  return {id, attempt or '0', failures or '0', '', '', '', call('HGET', P .. 'errors', id) or ''}
end

local KINDS = {
  done = {'LRANGE', 'finished', done},
  dead = {'LRANGE', 'dead_order', dead},
  leased = {'ZRANGE', 'leased', leased},
  delayed = {'ZRANGE', 'delayed', waiting},
  ready = {'LRANGE', 'ready', waiting},
}
local range, part, told = unpack(KINDS[place])
local dropped = place == 'done' and TRIMMED or 0
local at = math.max(first, dropped) - dropped
local stop = at + amount - 1
local lines = {}
for from = at, stop, CHUNK do
  local found = call(range, P .. part, from, math.min(from + CHUNK - 1, stop))
  for _, entry in ipairs(found) do
    lines[#lines + 1] = told(entry)
  end
  if #found < CHUNK then
    break
  end
end
return {text(at + dropped), lines}
