"""Counted attempts: the same laws in memory and in Redis."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from common.adapters import redis_client, redis_keys
from common.adapters.redis_coordination import RedisAttempts
from common.domain.errors import Unavailable
from common.ports import Attempts
from tests.fakes.attempts import MemoryAttempts
from tests.fakes.clock import FakeClock
from tests.support.redis_process import RedisProcess


@dataclass(frozen=True)
class Bench:
    attempts: Attempts
    pass_time: Callable[[float], None]
    name: str


@pytest.fixture(params=["memory", "redis"])
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    name = uuid.uuid4().hex
    if request.param == "memory":
        clock = FakeClock()
        yield Bench(MemoryAttempts(clock), clock.advance, name)
        return
    server: RedisProcess = request.getfixturevalue("redis_server")
    with redis_client.connect(server.url) as client:
        yield Bench(RedisAttempts(client), time.sleep, name)
        client.delete(redis_keys.tries(name))


def test_attempts_are_counted_until_a_while_after_the_first(bench: Bench) -> None:
    assert [bench.attempts.count(bench.name, 0.3)[0] for _ in range(3)] == [1, 2, 3]
    assert 0 < bench.attempts.count(bench.name, 60)[1] <= 0.3
    bench.pass_time(0.35)
    assert bench.attempts.count(bench.name, 0.3)[0] == 1


def test_attempts_are_forgiven_some_or_all(bench: Bench) -> None:
    for _ in range(3):
        bench.attempts.count(bench.name, 60)
    bench.attempts.forgive(bench.name, 1)
    assert bench.attempts.count(bench.name, 60)[0] == 3
    bench.attempts.forgive(bench.name)
    assert bench.attempts.count(bench.name, 60)[0] == 1
    bench.attempts.forgive(bench.name, 5)
    bench.attempts.forgive(bench.name, 1)
    bench.attempts.forgive(bench.name)
    assert bench.attempts.count(bench.name, 60)[0] == 1


def test_none_is_lost_of_many_at_once(bench: Bench) -> None:
    with ThreadPoolExecutor(8) as pool:
        counts = list(pool.map(lambda _: bench.attempts.count(bench.name, 60)[0], range(40)))
    assert sorted(counts) == list(range(1, 41))


def test_a_store_that_is_away_is_unavailable() -> None:
    memory = MemoryAttempts(FakeClock())
    memory.down = True
    with redis_client.connect("redis://127.0.0.1:1/0", timeout=0.1) as client:
        for attempts in (memory, RedisAttempts(client)):
            with pytest.raises(Unavailable):
                attempts.count("x", 1)
            with pytest.raises(Unavailable):
                attempts.forgive("x")
