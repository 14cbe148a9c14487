"""The suite's time of day against a real Redis."""

from __future__ import annotations

import pytest
import redis

from common.adapters.redis_client import life_of
from common.adapters.redis_clock import RedisClock
from tests.fakes.clock import FakeClock
from tests.support.redis_process import RedisProcess


def test_its_thread_looks_by_itself(redis_server: RedisProcess) -> None:
    local = FakeClock(now=5.0)
    with redis_server.client() as client:
        clock = RedisClock(client, local, every=0.01)
        clock.start()
        try:
            assert clock.now() == pytest.approx(float(client.time()[0]), abs=5)
        finally:
            clock.stop()
            assert clock._thread is not None
            clock._thread.join(5)


def test_a_server_that_was_started_again_has_another_life(own_redis: RedisProcess) -> None:
    with own_redis.client() as client:
        first = life_of(client)
        assert first
        assert life_of(client) == first
        own_redis.kill()
        own_redis.start()
        assert life_of(client) not in ("", first)


def test_where_nobody_may_ask_all_lives_are_one(own_redis: RedisProcess) -> None:
    with own_redis.client() as admin:
        admin.acl_setuser("shy", enabled=True, nopass=True, keys=["*"], commands=["+@all", "-info"])
    with redis.Redis.from_url(own_redis.url.replace("redis://", "redis://shy:x@"), decode_responses=True) as client:
        assert life_of(client) == ""
