"""Records: the same laws in memory and in Redis."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest
import redis
from pydantic import BaseModel, ConfigDict

from common.adapters import redis_client, redis_keys
from common.adapters.redis_records import RedisRecords
from common.domain.errors import Conflict, Unavailable
from common.ports import Records
from tests.fakes.clock import FakeClock
from tests.fakes.records import MemoryRecords
from tests.support.redis_process import RedisProcess


class Note(BaseModel):
    model_config = ConfigDict(frozen=True)

    text: str = ""
    number: float = 0.0
    parts: tuple[int, ...] = ()
    active: bool = True


@dataclass(frozen=True)
class Bench:
    records: Records[Note]
    pass_time: Callable[[float], None]


def _active(note: Note) -> bool:
    return note.active


@pytest.fixture(params=["memory", "redis"])
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    if request.param == "memory":
        clock = FakeClock()
        yield Bench(MemoryRecords(_active, clock), clock.advance)
        return
    server: RedisProcess = request.getfixturevalue("redis_server")
    with redis_client.connect(server.url) as client:
        yield Bench(RedisRecords(client, f"note-{uuid.uuid4().hex}", Note, active=_active), time.sleep)


def test_what_was_created_is_read_back_as_it_was(bench: Bench) -> None:
    note = Note(text="ä\n\"'\0😀", number=0.1 + 0.2, parts=(1, 2), active=False)
    version = bench.records.create("a", note)
    kept = bench.records.get("a")
    assert kept is not None
    assert (kept.value, kept.version) == (note, version)


def test_what_is_not_there_is_none(bench: Bench) -> None:
    assert bench.records.get("a") is None
    assert bench.records.ids() == bench.records.active_ids() == []
    assert bench.records.all() == bench.records.all(["a"]) == bench.records.all([]) == {}
    assert not bench.records.delete("a")


def test_an_id_is_created_once(bench: Bench) -> None:
    bench.records.create("a", Note(text="first"))
    with pytest.raises(Conflict):
        bench.records.create("a", Note(text="second"))
    kept = bench.records.get("a")
    assert kept is not None and kept.value.text == "first"


def test_update_needs_the_version_read(bench: Bench) -> None:
    first = bench.records.create("a", Note(text="1"))
    second = bench.records.update("a", Note(text="2"), first)
    assert second > first
    with pytest.raises(Conflict):
        bench.records.update("a", Note(text="late"), first)
    kept = bench.records.get("a")
    assert kept is not None and (kept.value.text, kept.version) == ("2", second)


def test_update_of_nothing_is_a_conflict(bench: Bench) -> None:
    with pytest.raises(Conflict):
        bench.records.update("a", Note(), 1)
    assert bench.records.ids() == []


def test_put_replaces_whatever_is_there(bench: Bench) -> None:
    first = bench.records.put("a", Note(text="1"))
    second = bench.records.put("a", Note(text="2"))
    assert second > first
    with pytest.raises(Conflict):
        bench.records.update("a", Note(), first)
    bench.records.update("a", Note(text="3"), second)


def test_ids_are_oldest_first_whatever_changes_since(bench: Bench) -> None:
    for id in ("c", "a", "b"):
        bench.records.put(id, Note())
    bench.records.put("c", Note(text="again"))
    assert bench.records.ids() == ["c", "a", "b"]
    assert list(bench.records.all()) == ["c", "a", "b"]
    assert list(bench.records.all(["b", "nothing", "c"])) == ["b", "c"]


def test_active_ids_follow_the_value(bench: Bench) -> None:
    version = bench.records.create("a", Note(active=True))
    bench.records.create("b", Note(active=False))
    assert bench.records.active_ids() == ["a"]
    bench.records.update("a", Note(active=False), version)
    bench.records.put("b", Note(active=True))
    assert bench.records.active_ids() == ["b"]


def test_deleted_is_gone_everywhere_and_may_come_anew(bench: Bench) -> None:
    bench.records.create("a", Note())
    assert bench.records.delete("a")
    assert bench.records.get("a") is None
    assert bench.records.ids() == bench.records.active_ids() == []
    bench.records.create("a", Note(text="new"))
    assert bench.records.ids() == ["a"]


def test_a_record_with_a_ttl_goes_by_itself(bench: Bench) -> None:
    bench.records.create("other", Note())
    version = bench.records.create("a", Note())
    bench.records.update("a", Note(active=True), version, ttl=0.05)
    assert bench.records.get("a") is not None
    bench.pass_time(0.1)
    assert bench.records.get("a") is None
    assert bench.records.ids() == ["other"]
    assert list(bench.records.all()) == ["other"]
    assert bench.records.active_ids() == ["other"]


def test_a_later_write_without_a_ttl_keeps_it_for_ever(bench: Bench) -> None:
    version = bench.records.create("a", Note())
    version = bench.records.update("a", Note(), version, ttl=0.05)
    bench.records.update("a", Note(text="kept"), version)
    bench.pass_time(0.1)
    kept = bench.records.get("a")
    assert kept is not None and kept.value.text == "kept"


def test_many_records_come_in_one_call(bench: Bench) -> None:
    for number in range(1201):
        bench.records.put(f"n{number:04}", Note(number=number))
    assert len(bench.records.ids()) == 1201
    assert [note.number for note in bench.records.all().values()] == list(range(1201))


def test_of_many_writers_with_one_version_one_wins(bench: Bench) -> None:
    version = bench.records.create("a", Note())

    def write(number: int) -> bool:
        try:
            bench.records.update("a", Note(number=number), version)
        except Conflict:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(write, range(40))) == 1


def test_kinds_do_not_mix(redis_server: RedisProcess) -> None:
    with redis_client.connect(redis_server.url) as client:
        kind = uuid.uuid4().hex
        RedisRecords(client, f"{kind}-one", Note).create("a", Note())
        assert RedisRecords(client, f"{kind}-two", Note).get("a") is None


def test_nothing_is_left_of_what_was_deleted_or_ran_out(redis_server: RedisProcess) -> None:
    with redis_client.connect(redis_server.url) as client:
        kind = uuid.uuid4().hex
        records = RedisRecords(client, kind, Note, active=_active)
        records.create("a", Note())
        records.delete("a")
        records.update("b", Note(), records.create("b", Note()), ttl=0.01)
        time.sleep(0.05)
        records.ids()
        assert [key for key in client.scan_iter("*") if kind in str(key)] == []


def test_a_record_that_came_back_is_not_dropped_from_the_index(redis_server: RedisProcess) -> None:
    with redis_client.connect(redis_server.url) as client:
        kind = uuid.uuid4().hex
        records = RedisRecords(client, kind, Note)
        records.create("a", Note())
        records._forget(["a"])
        assert client.zscore(redis_keys.ids(kind), "a") is not None


def test_an_outage_is_told_as_such_and_passes(own_redis: RedisProcess) -> None:
    with redis_client.connect(own_redis.url, timeout=0.5) as client:
        records = RedisRecords(client, "note", Note)
        records.create("a", Note())
        own_redis.kill()
        for call in (records.ids, records.active_ids, records.all, lambda: records.get("a")):
            with pytest.raises(Unavailable):
                call()
        own_redis.start()
        assert records.ids() == ["a"]


def test_a_server_that_hangs_is_told_as_such(own_redis: RedisProcess) -> None:
    with redis_client.connect(own_redis.url, timeout=0.05) as client:
        records = RedisRecords(client, "note", Note)
        records.create("a", Note())
        own_redis.pause()
        began = time.monotonic()
        with pytest.raises(Unavailable):
            records.get("a")
        assert time.monotonic() - began < 5.0
        own_redis.resume()
        assert records.get("a") is not None


def test_a_refusal_is_told_as_such(redis_server: RedisProcess) -> None:
    with redis_client.connect(redis_server.url) as client:
        kind = uuid.uuid4().hex
        client.set(redis_keys.record(kind, "a"), "not a hash")
        with pytest.raises(Unavailable, match="refuses"):
            RedisRecords(client, kind, Note).get("a")
        client.delete(redis_keys.record(kind, "a"))


def test_scripts_survive_a_server_that_forgot_them(redis_server: RedisProcess) -> None:
    with redis_client.connect(redis_server.url) as client:
        records = RedisRecords(client, uuid.uuid4().hex, Note)
        records.create("a", Note())
        client.script_flush()
        records.create("b", Note())
        assert isinstance(client, redis.Redis) and records.ids() == ["a", "b"]


def test_a_listing_follows_every_change_though_it_keeps_what_it_understood(bench: Bench) -> None:
    records = bench.records
    records.create("a", Note(text="one"))
    records.create("b", Note(text="same"))
    first = records.all()
    assert (first["a"].text, first["b"].text) == ("one", "same")
    records.delete("a")
    records.create("a", Note(text="two"))  # of the same version as the one before
    again = records.all()
    assert (again["a"].text, again["b"]) == ("two", first["b"])
    records.delete("b")
    assert list(records.all()) == ["a"]
    assert records.all(["a", "b"]) == {"a": Note(text="two")}


def test_an_attachment_comes_and_goes_with_its_record(bench: Bench) -> None:
    version = bench.records.create("a", Note(text="one"), "ä\n\"'😀" * 1000)
    bench.records.create("b", Note())
    version = bench.records.update("a", Note(text="two"), version)
    assert (bench.records.attachment("a"), bench.records.attachment("b")) == ("ä\n\"'😀" * 1000, "")
    with pytest.raises(Conflict):
        bench.records.create("a", Note(), "another one")
    assert bench.records.attachment("a").startswith("ä")
    bench.records.update("a", Note(), version, ttl=0.2)
    bench.pass_time(0.3)
    assert bench.records.attachment("a") == ""
    bench.records.create("a", Note())
    assert bench.records.attachment("a") == ""
    bench.records.create("c", Note(), "kept")
    bench.records.delete("c")
    bench.records.put("c", Note())
    assert bench.records.attachment("c") == ""
