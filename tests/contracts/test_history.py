"""Journals and texts: the same laws in memory and in Redis."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
import redis

from common.adapters import redis_client
from common.adapters.redis_history import RedisJournal, RedisTexts
from common.domain.events import Event
from common.ports import Journal, Texts
from tests.fakes.records import MemoryJournal, MemoryTexts
from tests.support.redis_process import RedisProcess

ODD = "ä\n\"'\0😀"


@dataclass(frozen=True)
class Bench:
    journal: Journal
    texts: Texts
    id: str


@pytest.fixture
def client(redis_server: RedisProcess) -> Iterator[redis.Redis]:
    with redis_client.connect(redis_server.url) as client:
        yield client


@pytest.fixture(params=["memory", "redis"])
def bench(request: pytest.FixtureRequest) -> Bench:
    id = uuid.uuid4().hex
    if request.param == "memory":
        return Bench(MemoryJournal(bound=2000), MemoryTexts(limit=1000), id)
    client: redis.Redis = request.getfixturevalue("client")
    return Bench(RedisJournal(client, bound=2000), RedisTexts(client, limit=1000), id)


def _event(number: int, message: str = "") -> Event:
    return Event(at=float(number), kind="state", message=message)


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
