"""Journals, texts and metrics: the same laws in memory and in Redis."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
import redis

from common.adapters import redis_client, redis_keys
from common.adapters.redis_history import RedisJournal, RedisMetrics, RedisTexts
from common.domain.errors import Unavailable
from common.domain.events import Event
from common.domain.metrics import JOB_PROGRESS, PARALLELISM, QUEUE, Measurement, Point
from common.ports import Journal, MetricStore, Texts
from tests.fakes.records import MemoryJournal, MemoryMetrics, MemoryTexts
from tests.support.redis_process import RedisProcess

ODD = "ä\n\"'\0😀"


@dataclass(frozen=True)
class Bench:
    journal: Journal
    texts: Texts
    metrics: MetricStore
    id: str


@pytest.fixture
def client(redis_server: RedisProcess) -> Iterator[redis.Redis]:
    with redis_client.connect(redis_server.url) as client:
        yield client


@pytest.fixture(params=["memory", "redis"])
def bench(request: pytest.FixtureRequest) -> Bench:
    id = uuid.uuid4().hex
    if request.param == "memory":
        return Bench(MemoryJournal(bound=2000), MemoryTexts(limit=1000), MemoryMetrics(), id)
    client: redis.Redis = request.getfixturevalue("client")
    return Bench(RedisJournal(client, bound=2000), RedisTexts(client, limit=1000), RedisMetrics(client), id)


def _event(number: int, message: str = "") -> Event:
    return Event(at=float(number), kind="state", message=message)


def _point(at: float, value: float = 0.0, measurement: Measurement = JOB_PROGRESS, id: str = "") -> Point:
    return Point(measurement.name, id, at, {"value": value})


# Journals.


def test_entries_are_read_oldest_first(bench: Bench) -> None:
    for number in range(5):
        bench.journal.append("s", bench.id, _event(number, ODD))
    assert bench.journal.read("s", bench.id, Event) == [_event(number, ODD) for number in range(5)]


def test_a_count_takes_the_latest(bench: Bench) -> None:
    for number in range(5):
        bench.journal.append("s", bench.id, _event(number))
    assert [event.at for event in bench.journal.read("s", bench.id, Event, count=2)] == [3.0, 4.0]


def test_streams_and_ids_are_apart(bench: Bench) -> None:
    bench.journal.append("s", bench.id, _event(1))
    assert bench.journal.read("t", bench.id, Event) == []
    assert bench.journal.read("s", bench.id + "x", Event) == []


def test_the_oldest_entries_fall_off_beyond_the_bound(bench: Bench) -> None:
    for number in range(2500):
        bench.journal.append("s", bench.id, _event(number))
    kept = bench.journal.read("s", bench.id, Event, count=10_000)
    assert 2000 <= len(kept) < 2200
    assert kept[-1].at == 2499.0


def test_a_journal_goes_when_its_time_is_over(client: redis.Redis, eventually: Callable[..., None]) -> None:
    journal, id = RedisJournal(client), uuid.uuid4().hex
    journal.append("s", id, _event(1))
    journal.expire("s", id, 0.02)
    journal.append("s", id, _event(2))
    eventually(lambda: journal.read("s", id, Event) == [], within=3)


# Texts.


def test_texts_are_kept_by_name(bench: Bench) -> None:
    bench.texts.put(bench.id, "pod-0", ODD)
    bench.texts.put(bench.id, "pod-1", "one")
    bench.texts.put(bench.id, "pod-1", "two")
    assert bench.texts.get(bench.id) == {"pod-0": ODD, "pod-1": "two"}
    assert bench.texts.names(bench.id) == ["pod-0", "pod-1"]
    assert bench.texts.names(bench.id + "x") == []
    assert bench.texts.get(bench.id + "x") == {}


def test_of_a_long_text_the_tail_is_kept(bench: Bench) -> None:
    bench.texts.put(bench.id, "pod", "a" * 500 + "b" * 1000)
    assert bench.texts.get(bench.id) == {"pod": "b" * 1000}


def test_deleted_texts_are_gone(bench: Bench) -> None:
    bench.texts.put(bench.id, "pod", "text")
    bench.texts.delete(bench.id)
    bench.texts.delete(bench.id)
    assert bench.texts.get(bench.id) == {}


def test_texts_go_when_their_time_is_over(client: redis.Redis, eventually: Callable[..., None]) -> None:
    texts, id = RedisTexts(client), uuid.uuid4().hex
    texts.put(id, "pod", "text")
    texts.expire(id, 0.02)
    eventually(lambda: texts.get(id) == {}, within=3)


def test_beyond_so_many_names_known_ones_only_are_renewed(client: redis.Redis) -> None:
    texts, id = RedisTexts(client, names=2), uuid.uuid4().hex
    for name in ("a", "b", "c"):
        texts.put(id, name, "1")
    texts.put(id, "a", "2")
    assert texts.get(id) == {"a": "2", "b": "1"}


# Metrics.


def test_points_are_read_by_measurement_oldest_first(bench: Bench) -> None:
    moments = [1000.25, 1002.1234567, 1004.0]
    for at in moments:
        bench.metrics.write(
            [
                _point(at, at / 3, JOB_PROGRESS, bench.id),
                Point(QUEUE.name, bench.id, at, {"ready": 3, "done": 1.0}),
                _point(at, 7.0, JOB_PROGRESS, "somebody else"),
            ]
        )
    assert bench.metrics.read(bench.id, JOB_PROGRESS) == [_point(at, at / 3, id=bench.id) for at in moments]
    assert bench.metrics.read(bench.id, QUEUE)[0].fields == {"ready": 3, "done": 1.0}
    assert bench.metrics.read(bench.id, PARALLELISM) == []


@pytest.mark.parametrize("base", [1000.0, 0.0])
def test_since_leaves_out_what_is_not_later(bench: Bench, base: float) -> None:
    now = time.time() if base else 1000.0
    bench.metrics.write([_point(now + second, id=bench.id) for second in range(-90, 1, 30)])
    read = bench.metrics.read(bench.id, JOB_PROGRESS, since=now - 60)
    assert [point.at for point in read] == [now - 30, now]
    assert bench.metrics.read(bench.id, JOB_PROGRESS, since=now) == []


def test_a_moment_written_in_parts_is_whole(bench: Bench) -> None:
    bench.metrics.write([_point(1000.0, 1.0, JOB_PROGRESS, bench.id)])
    bench.metrics.write([_point(1000.0, 2.0, PARALLELISM, bench.id)])
    assert [point.fields["value"] for point in bench.metrics.read(bench.id, JOB_PROGRESS)] == [1.0]
    assert [point.fields["value"] for point in bench.metrics.read(bench.id, PARALLELISM)] == [2.0]


def test_writing_nothing_is_no_trouble(bench: Bench) -> None:
    bench.metrics.write([])
    assert bench.metrics.read(bench.id, JOB_PROGRESS) == []


def test_a_repeated_write_is_one_point_and_late_ones_find_their_place(client: redis.Redis) -> None:
    metrics, id = RedisMetrics(client), uuid.uuid4().hex
    for at in (1004.0, 1002.0, 1004.0):
        metrics.write([_point(at, id=id)])
    assert [point.at for point in metrics.read(id, JOB_PROGRESS)] == [1002.0, 1004.0]


def test_series_are_bounded_and_go_when_their_time_is_over(
    client: redis.Redis, eventually: Callable[..., None]
) -> None:
    metrics, id = RedisMetrics(client, bound=100), uuid.uuid4().hex
    metrics.write([_point(float(at), id=id) for at in range(1000)])
    assert 100 <= len(metrics.read(id, JOB_PROGRESS)) < 300
    assert 0 < int(client.ttl(redis_keys.metrics(id))) <= 30 * 86400
    metrics.expire(id, 0.0)
    eventually(lambda: metrics.read(id, JOB_PROGRESS) == [], within=3)


def test_points_of_an_outage_are_written_after_it_up_to_the_buffer(own_redis: RedisProcess) -> None:
    with redis_client.connect(own_redis.url, timeout=0.5) as client:
        metrics = RedisMetrics(client, buffer=3)
        metrics.write([_point(1.0, id="s")])
        own_redis.kill()
        for at in (2.0, 3.0, 4.0, 5.0):
            metrics.write([_point(at, id="s")])
        with pytest.raises(Unavailable):
            metrics.read("s", JOB_PROGRESS)
        own_redis.start()
        metrics.write([_point(6.0, id="s")])
        assert [point.at for point in metrics.read("s", JOB_PROGRESS)] == [1.0, 3.0, 4.0, 5.0, 6.0]
