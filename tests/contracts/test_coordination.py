"""Leases and nudges: the same laws in memory and in Redis."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest
import redis

from common.adapters import redis_client, redis_keys
from common.adapters.redis_coordination import RedisLeases, RedisWakeups
from common.domain.errors import Unavailable
from common.ports import Leases, Wakeups
from tests.fakes.clock import FakeClock
from tests.fakes.records import MemoryLeases, MemoryWakeups
from tests.support.redis_process import RedisProcess


@dataclass(frozen=True)
class Bench:
    leases: Leases
    wakeups: Wakeups
    pass_time: Callable[[float], None]
    name: str


@pytest.fixture
def client(redis_server: RedisProcess) -> Iterator[redis.Redis]:
    with redis_client.connect(redis_server.url) as client:
        yield client


@pytest.fixture(params=["memory", "redis"])
def bench(request: pytest.FixtureRequest) -> Bench:
    name = uuid.uuid4().hex
    if request.param == "memory":
        clock = FakeClock()
        return Bench(MemoryLeases(clock), MemoryWakeups(clock), clock.advance, name)
    client: redis.Redis = request.getfixturevalue("client")
    return Bench(RedisLeases(client), RedisWakeups(client), time.sleep, name)


# Leases.


def test_one_holds_at_a_time(bench: Bench) -> None:
    assert bench.leases.hold(bench.name, "one", 60) is not None
    assert bench.leases.hold(bench.name, "two", 60) is None
    assert bench.leases.hold(bench.name + "x", "two", 60) is not None


def test_holding_on_keeps_the_token_and_a_new_owner_gets_a_higher_one(bench: Bench) -> None:
    first = bench.leases.hold(bench.name, "one", 60)
    assert bench.leases.hold(bench.name, "one", 60) == first
    bench.leases.release(bench.name, "one")
    second = bench.leases.hold(bench.name, "two", 60)
    bench.leases.release(bench.name, "two")
    third = bench.leases.hold(bench.name, "one", 60)
    assert first is not None and second is not None and third is not None
    assert first < second < third


def test_only_the_owner_releases(bench: Bench) -> None:
    bench.leases.hold(bench.name, "one", 60)
    bench.leases.release(bench.name, "two")
    assert bench.leases.hold(bench.name, "two", 60) is None
    bench.leases.release(bench.name + "x", "one")


def test_a_lease_runs_out(bench: Bench) -> None:
    first = bench.leases.hold(bench.name, "one", 0.03)
    bench.pass_time(0.06)
    second = bench.leases.hold(bench.name, "two", 60)
    assert first is not None and second is not None and second > first
    assert bench.leases.hold(bench.name, "one", 60) is None


def test_holding_on_prolongs_it(bench: Bench) -> None:
    bench.leases.hold(bench.name, "one", 0.05)
    bench.leases.hold(bench.name, "one", 60)
    bench.pass_time(0.08)
    assert bench.leases.hold(bench.name, "two", 60) is None


@pytest.mark.parametrize("owner", ["a b", "7 one", "", "ä-%d+"])
def test_any_owner_is_known_again(bench: Bench, owner: str) -> None:
    token = bench.leases.hold(bench.name, owner, 60)
    assert bench.leases.hold(bench.name, owner, 60) == token
    assert bench.leases.hold(bench.name, "another", 60) is None
    bench.leases.release(bench.name, owner)
    assert bench.leases.hold(bench.name, "another", 60) is not None


def test_of_many_at_once_one_gets_it(bench: Bench) -> None:
    with ThreadPoolExecutor(8) as pool:
        tokens = list(pool.map(lambda number: bench.leases.hold(bench.name, f"o{number}", 60), range(40)))
    assert sum(token is not None for token in tokens) == 1


def test_no_lease_leaves_a_key_behind(client: redis.Redis) -> None:
    name, leases = uuid.uuid4().hex, RedisLeases(client)
    leases.hold(name, "one", 60)
    leases.release(name, "one")
    assert [key for key in client.scan_iter("*") if name in str(key)] == []


# Nudges.


def test_nudges_come_in_order_each_once(bench: Bench) -> None:
    for id in ("a", "b", "c"):
        bench.wakeups.notify(bench.name, id)
    assert [bench.wakeups.wait(bench.name, 0.05) for _ in range(4)] == ["a", "b", "c", None]


def test_services_are_apart(bench: Bench) -> None:
    bench.wakeups.notify(bench.name, "a")
    assert bench.wakeups.wait(bench.name + "x", 0.01) is None


def test_a_waiting_loop_is_woken_at_once(client: redis.Redis) -> None:
    wakeups, service = RedisWakeups(client), uuid.uuid4().hex
    began = time.monotonic()
    threading.Timer(0.05, wakeups.notify, (service, "a")).start()
    assert wakeups.wait(service, 2.0) == "a"
    assert time.monotonic() - began < 1.5


def test_a_wait_stays_below_the_clients_timeout(redis_server: RedisProcess) -> None:
    with redis_client.connect(redis_server.url, timeout=1.0) as client:
        assert RedisWakeups(client).wait(uuid.uuid4().hex, 30.0) is None


def test_nudges_are_bounded_and_go_by_themselves(client: redis.Redis) -> None:
    wakeups, service = RedisWakeups(client), uuid.uuid4().hex
    pipeline = client.pipeline()
    pipeline.lpush(redis_keys.wake(service), *(f"n{number}" for number in range(10_050)))
    pipeline.execute()
    wakeups.notify(service, "last")
    assert client.llen(redis_keys.wake(service)) == 10_000
    assert 0 < int(client.ttl(redis_keys.wake(service))) <= 3600


def test_notify_never_raises_and_wait_tells_of_an_outage(own_redis: RedisProcess) -> None:
    with redis_client.connect(own_redis.url, timeout=0.5) as client:
        wakeups, leases = RedisWakeups(client), RedisLeases(client)
        own_redis.kill()
        wakeups.notify("s", "a")
        with pytest.raises(Unavailable):
            wakeups.wait("s", 0.1)
        with pytest.raises(Unavailable):
            leases.hold("n", "o", 1)
        own_redis.start()
        wakeups.notify("s", "b")
        assert wakeups.wait("s", 1.0) == "b"
