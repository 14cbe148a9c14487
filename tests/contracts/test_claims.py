"""Claims: the same laws in memory and in Redis."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from common.adapters import redis_client, redis_keys
from common.adapters.redis_coordination import RedisClaims
from common.domain.errors import Unavailable
from common.ports import Claims
from tests.fakes.claims import MemoryClaims
from tests.fakes.clock import FakeClock
from tests.support.redis_process import RedisProcess


@dataclass(frozen=True)
class Bench:
    claims: Claims
    pass_time: Callable[[float], None]
    name: str


@pytest.fixture(params=["memory", "redis"])
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    name = uuid.uuid4().hex
    if request.param == "memory":
        clock = FakeClock()
        yield Bench(MemoryClaims(clock), clock.advance, name)
        return
    server: RedisProcess = request.getfixturevalue("redis_server")
    with redis_client.connect(server.url) as client:
        yield Bench(RedisClaims(client), time.sleep, name)
        client.delete(redis_keys.claim(name))


def test_the_first_comer_gives_the_value(bench: Bench) -> None:
    assert bench.claims.held(bench.name) is None
    assert bench.claims.claim(bench.name, "one", 60) == "one"
    assert bench.claims.claim(bench.name, "two", 60) == "one"
    assert bench.claims.held(bench.name) == "one"
    assert bench.claims.held(bench.name + "x") is None


def test_one_of_many_wins(bench: Bench) -> None:
    with ThreadPoolExecutor(8) as pool:
        values = set(pool.map(lambda number: bench.claims.claim(bench.name, str(number), 60), range(40)))
    assert len(values) == 1


def test_a_dropped_name_is_free(bench: Bench) -> None:
    bench.claims.claim(bench.name, "one", 60)
    bench.claims.drop(bench.name)
    bench.claims.drop(bench.name)
    assert bench.claims.claim(bench.name, "two", 60) == "two"


def test_a_claim_ends_and_is_not_prolonged(bench: Bench) -> None:
    bench.claims.claim(bench.name, "one", 0.1)
    bench.claims.claim(bench.name, "two", 60)
    bench.pass_time(0.15)
    assert bench.claims.held(bench.name) is None
    assert bench.claims.claim(bench.name, "three", 60) == "three"


def test_a_store_that_is_away(free_port: int) -> None:
    with redis_client.connect(f"redis://127.0.0.1:{free_port}", timeout=0.2) as client:
        claims = RedisClaims(client)
        for call in (lambda: claims.claim("x", "y", 1), lambda: claims.held("x"), lambda: claims.drop("x")):
            with pytest.raises(Unavailable):
                call()
