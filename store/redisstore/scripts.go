package redisstore

import "github.com/redis/go-redis/v9"

// All that Redis has of a session is one hash, so that each script has one key:
//
//	format   1
//	data     what Save was given; missing after a Delete
//	version  of data: microseconds of Redis's clock, and growing with each Save and Delete
//	op       the name of the last Save or Delete, which makes a repeated one harmless
//	holder   who has the lock; missing if nobody has it
//	until    when the lock ends, in milliseconds of Redis's clock
//	server   the server process that granted the lock or would not grant it yet
//	free     before this time, in milliseconds, that server grants the lock to nobody
//
// A hash without data lives for a day.

// prelude begins each script. A key that something else is kept in is left alone.
const prelude = `
local key, tombstone = KEYS[1], 86400000
local format = redis.call('HGET', key, 'format')
if format ~= '1' and (format or redis.call('EXISTS', key) == 1) then
  return redis.error_reply('FOREIGN the key holds something else than a session of this version')
end

local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

-- put saves data, or a tombstone without data.
local function put(version, op, keeps, data, channel)
  redis.call('HSET', key, 'format', '1', 'version', version, 'op', op)
  if keeps == '1' then
    redis.call('HSET', key, 'data', data)
    redis.call('PERSIST', key)
  else
    redis.call('HDEL', key, 'data')
    redis.call('PEXPIRE', key, tombstone)
  end
  redis.call('PUBLISH', channel, 'changed')
end

-- server names this server process in its present role, and tells when it started at the latest and
-- whether it may have been a replica.
local function server()
  local info, roles = redis.call('INFO', 'server'), redis.call('INFO', 'replication')
  local id = info:match('run_id:(%x+)') .. '-' .. roles:match('master_replid:(%x+)')
  local uptime = tonumber(info:match('uptime_in_seconds:(%d+)'))
  local started = (math.floor(now / 1000) - uptime + 1) * 1000
  return id, started, roles:match('master_replid2:(%x+)'):find('[^0]') ~= nil
end
`

func newScript(source string) *redis.Script { return redis.NewScript(prelude + source) }

// loadScript returns the version and the data. It is a script so that it never goes to a replica.
var loadScript = newScript(`
return redis.call('HMGET', key, 'version', 'data')
`)

// writeScript saves or deletes, if the saved data is the old data. It returns 1 and the new version,
// or 0.
var writeScript = newScript(`
local op, had, old, keeps, data, channel = unpack(ARGV)
local saved = redis.call('HMGET', key, 'data', 'version', 'op')
if saved[3] == op then
  return {1, saved[2]}
end
if (had == '1') ~= (saved[1] ~= false) or had == '1' and saved[1] ~= old then
  return {0, '0'}
end
if had == '0' and keeps == '0' then
  return {1, saved[2] or '0'}
end
local version = math.max((tonumber(saved[2]) or 0) + 1, clock[1] * 1000000 + clock[2])
version = string.format('%.0f', version)
put(version, op, keeps, data, channel)
return {1, version}
`)

// restoreScript puts a version back that Redis has lost, and returns the version and the data that
// are saved then. A server that has lost data has lost locks too.
var restoreScript = newScript(`
local version, keeps, data, channel, lease = unpack(ARGV)
local saved = tonumber(redis.call('HGET', key, 'version')) or 0
if saved < tonumber(version) then
  put(version, 'restored', keeps, data, channel)
  redis.call('HSET', key, 'server', (server()), 'free', now + lease)
end
return redis.call('HMGET', key, 'version', 'data')
`)

// lockScript returns 1 if the lock has been granted. Otherwise it returns 0, the milliseconds until
// the lock may be granted, and 1 if no holder is known.
//
//nolint:dupword // Lua closes each block with an "end".
var lockScript = newScript(`
local me, lease, knows = unpack(ARGV)
local book = redis.call('HMGET', key, 'holder', 'until', 'server', 'free', 'data')
local holder, ends, free = book[1], tonumber(book[2]) or 0, tonumber(book[4]) or 0
if holder ~= me then
  if holder and ends > now then
    return {0, ends - now, 0}
  end

  -- The lock is free as far as this server knows. A server that has not granted the lock before may
  -- have lost one.
  local id, started, promoted = server()
  if book[3] ~= id then
    local since = started
    if book[3] and promoted or not format and knows == '1' then
      since = now
    end
    free = since + lease
    redis.call('HSET', key, 'format', '1', 'server', id, 'free', string.format('%.0f', free))
  end
end

local granted = holder == me or free <= now
if granted then
  redis.call('HSET', key, 'holder', me, 'until', string.format('%.0f', now + lease))
end
if not book[5] then
  redis.call('PEXPIRE', key, tombstone)
end
if granted then
  return {1, 0, 0}
end
return {0, free - now, 1}
`)

// extendScript extends the lock of a holder, and returns 1 if the holder has it. A server that has
// lost the lock takes it back from its holder, as long as nobody else can have got it.
//
//nolint:dupword // Lua closes each block with an "end".
var extendScript = newScript(`
local me, lease = unpack(ARGV)
local book = redis.call('HMGET', key, 'holder', 'until', 'server', 'free', 'data')
local holder, ends, free = book[1], tonumber(book[2]) or 0, tonumber(book[4]) or 0
if holder ~= me then
  local id = server()
  if holder and ends > now or book[3] == id and free <= now then
    return 0
  end
  if book[3] ~= id then
    redis.call('HSET', key, 'format', '1', 'server', id,
      'free', string.format('%.0f', now + lease))
  end
end
redis.call('HSET', key, 'holder', me, 'until', string.format('%.0f', now + lease))
if not book[5] then
  redis.call('PEXPIRE', key, tombstone)
end
return 1
`)

// unlockScript releases the lock of a holder.
var unlockScript = newScript(`
local me, channel = unpack(ARGV)
if redis.call('HGET', key, 'holder') == me then
  redis.call('HDEL', key, 'holder', 'until')
  redis.call('PUBLISH', channel, 'unlocked')
end
return 1
`)
