"""Leases with fencing tokens, nudges between processes, claims of names, and counted attempts, in Redis."""

from __future__ import annotations

import redis

from common.adapters import redis_keys
from common.adapters.redis_client import translated
from common.domain.errors import Unavailable
from common.logging import get_logger

log = get_logger(__name__)
_MOST_NUDGES = 10_000
_NUDGES_KEPT = 3600

# KEYS: lease, fence.  ARGV: owner, ttl in ms.  Returns the fencing token, or -1 when somebody else holds the lease.
_HOLD = """
local token, holder = string.match(redis.call('GET', KEYS[1]) or '', '^(%d+) (.*)$')
if holder and holder ~= ARGV[1] then return -1 end
token = token or redis.call('INCR', KEYS[2])
redis.call('SET', KEYS[1], token .. ' ' .. ARGV[1], 'PX', ARGV[2])
return tonumber(token)
"""
_RELEASE = """
if string.match(redis.call('GET', KEYS[1]) or '', '^%d+ (.*)$') ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
"""
# KEYS: claim.  ARGV: value, ttl in ms.  Returns the value held.
_CLAIM = """
local held = redis.call('GET', KEYS[1])
if held then return held end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return ARGV[1]
"""

# KEYS: counter.  ARGV: window in ms.  Returns the count and the ms until it is forgotten.
_COUNT = """
local count = redis.call('INCR', KEYS[1])
if count == 1 then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end
return {count, redis.call('PTTL', KEYS[1])}
"""
# KEYS: counter.  ARGV: how many to take back.
_FORGIVE = """
if redis.call('EXISTS', KEYS[1]) == 0 then return end
if redis.call('DECRBY', KEYS[1], ARGV[1]) <= 0 then redis.call('DEL', KEYS[1]) end
"""


class RedisLeases:
    """Implements ports.Leases. All names share one counter of fencing tokens, so that no lease leaves a key behind."""

    def __init__(self, client: redis.Redis) -> None:
        self._hold = client.register_script(_HOLD)
        self._release = client.register_script(_RELEASE)

    def hold(self, name: str, owner: str, ttl: float) -> int | None:
        with translated():
            token = int(
                self._hold(keys=[redis_keys.lease(name), redis_keys.fence()], args=[owner, max(1, int(ttl * 1000))])
            )
        return token if token >= 0 else None

    def release(self, name: str, owner: str) -> None:
        with translated():
            self._release(keys=[redis_keys.lease(name)], args=[owner])


class RedisWakeups:
    """Implements ports.Wakeups on bounded lists. A wait is never longer than half of the client's timeout."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        timeout = client.get_connection_kwargs().get("socket_timeout")
        self._longest = timeout / 2 if timeout else float("inf")

    def notify(self, service: str, id: str) -> None:
        try:
            with translated():
                pipeline = self._client.pipeline()
                pipeline.lpush(redis_keys.wake(service), id)
                pipeline.ltrim(redis_keys.wake(service), 0, _MOST_NUDGES - 1)
                pipeline.expire(redis_keys.wake(service), _NUDGES_KEPT)
                pipeline.execute()
        except Unavailable as error:
            log.warning("nudge_lost", service=service, id=id, error=error.message)

    def wait(self, service: str, timeout: float) -> str | None:
        with translated():
            answer = self._client.brpop([redis_keys.wake(service)], timeout=max(0.01, min(timeout, self._longest)))
        return None if answer is None else str(answer[1])


class RedisClaims:
    """Implements ports.Claims."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self._claim = client.register_script(_CLAIM)

    def claim(self, name: str, value: str, ttl: float) -> str:
        with translated():
            return str(self._claim(keys=[redis_keys.claim(name)], args=[value, max(1, int(ttl * 1000))]))

    def held(self, name: str) -> str | None:
        with translated():
            value = self._client.get(redis_keys.claim(name))
        return None if value is None else str(value)

    def drop(self, name: str) -> None:
        with translated():
            self._client.delete(redis_keys.claim(name))


class RedisAttempts:
    """Implements ports.Attempts."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self._count = client.register_script(_COUNT)
        self._forgive = client.register_script(_FORGIVE)

    def count(self, name: str, window: float) -> tuple[int, float]:
        with translated():
            count, left = self._count(keys=[redis_keys.tries(name)], args=[max(1, int(window * 1000))])
        return int(count), max(0, int(left)) / 1000

    def forgive(self, name: str, attempts: int | None = None) -> None:
        with translated():
            if attempts is None:
                self._client.delete(redis_keys.tries(name))
            else:
                self._forgive(keys=[redis_keys.tries(name)], args=[attempts])
