"""The suite's time of day against a real Redis."""

from __future__ import annotations

import pytest

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
