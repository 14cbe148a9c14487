from __future__ import annotations

import itertools
import threading

import pytest

from common.domain.errors import Conflict, KeyReused, Unavailable
from common.domain.states import Intent, State
from common.domain.submission import Submission
from common.ports import Versioned
from manager.service import Request, Selection, new_id
from tests.support.manager_door import NATIVE, Door


def request(key: str = "key", digest: str = "digest") -> Request:
    return Request(NATIVE, key, digest)


def test_ids_are_of_the_originals_form() -> None:
    ids = {new_id() for _ in range(100)}
    assert len(ids) == 100
    assert all(id.startswith("kj-") and len(id) == 10 and int(id[3:], 16) >= 0 for id in ids)


def test_the_same_key_makes_one_submission() -> None:
    door = Door()
    first = door.service.submit(request())
    assert door.service.submit(request()) == first
    assert len(door.records.ids()) == 1
    assert door.service.submit(request("other")).id != first.id


def test_a_key_is_for_one_document() -> None:
    door = Door()
    door.service.submit(request())
    with pytest.raises(KeyReused):
        door.service.submit(request(digest="another"))
    assert len(door.records.ids()) == 1


def test_a_key_is_forgotten_after_a_day() -> None:
    door = Door()
    first = door.service.submit(request())
    door.clock.advance(86401)
    assert door.service.submit(request()).id != first.id


def test_concurrent_requests_of_one_key_make_one_submission() -> None:
    door = Door()
    start = threading.Barrier(8)
    ids: list[str] = []

    def post() -> None:
        start.wait()
        ids.append(door.service.submit(request()).id)

    threads = [threading.Thread(target=post) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ids) == 8
    assert len(set(ids)) == 1
    assert door.records.ids() == [ids[0]]


def test_a_request_that_died_halfway_is_completed_by_its_repetition() -> None:
    ids = (f"kj-000000{number}" for number in itertools.count())
    door = Door(make_id=lambda: next(ids))
    door.records.down = True
    with pytest.raises(Unavailable):
        door.service.submit(request())
    door.records.down = False
    assert door.service.submit(request()).id == "kj-0000000"
    assert door.records.ids() == ["kj-0000000"]


def test_an_id_that_is_taken_is_not_used() -> None:
    ids = itertools.chain(["kj-0000001", "kj-0000001", "kj-0000001", "kj-0000002"], itertools.repeat("kj-0000003"))
    door = Door(make_id=lambda: next(ids))
    first = door.service.submit(request("one"))
    second = door.service.submit(request("two"))
    third = door.service.submit(Request(NATIVE))
    assert [first.id, second.id, third.id] == ["kj-0000001", "kj-0000002", "kj-0000003"]
    assert door.service.submit(request("two")).id == "kj-0000002"


def test_without_a_free_id_nothing_is_taken_in() -> None:
    door = Door(make_id=lambda: "kj-0000001")
    door.service.submit(Request(NATIVE))
    with pytest.raises(Unavailable):
        door.service.submit(Request(NATIVE))


def test_a_write_repeated_after_a_lost_answer_makes_one_submission(monkeypatch: pytest.MonkeyPatch) -> None:
    door = Door()
    create = door.records.create

    def twice(id: str, value: Submission, attachment: str) -> int:
        create(id, value, attachment)
        return create(id, value, attachment)

    monkeypatch.setattr(door.records, "create", twice)
    accepted = door.service.submit(Request(NATIVE))
    assert door.records.ids() == [accepted.id]


def test_the_story_is_no_reason_to_fail() -> None:
    door = Door()
    door.journal.down = True
    accepted = door.service.submit(request())
    assert door.records.ids() == [accepted.id]


def test_an_intent_survives_writes_of_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    door = Door()
    id = door.service.submit(request()).id
    update = door.records.update
    rivals = iter(range(3))

    def contended(id: str, value: Submission, version: int, ttl: float | None = None) -> int:
        if next(rivals, None) is not None:
            raise Conflict("the loop was faster")
        return update(id, value, version, ttl)

    monkeypatch.setattr(door.records, "update", contended)
    door.service.end(id, Intent.STOP)
    assert door.record(id).intent is Intent.STOP


def test_a_record_that_never_rests_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    door = Door()
    id = door.service.submit(request()).id

    def conflict(*_: object) -> int:
        raise Conflict("the loop was faster")

    monkeypatch.setattr(door.records, "update", conflict)
    with pytest.raises(Unavailable):
        door.service.end(id, Intent.STOP)


def test_it_may_end_while_it_is_asked_to(monkeypatch: pytest.MonkeyPatch) -> None:
    door = Door()
    id = door.service.submit(request()).id
    find = door.records.get
    looks = itertools.count()

    def ending(wanted: str) -> Versioned[Submission] | None:
        if next(looks) == 1:
            monkeypatch.setattr(door.records, "get", find)
            door.end(id)
        return find(wanted)

    seen = find(id)
    assert seen is not None

    def stale(wanted: str) -> Versioned[Submission] | None:
        monkeypatch.setattr(door.records, "get", ending)
        return seen

    door.change(id, reason="something new")
    monkeypatch.setattr(door.records, "get", stale)
    next(looks)
    door.service.end(id, Intent.STOP)
    assert (door.record(id).state, door.record(id).intent) == (State.COMPLETED, Intent.NONE)


def test_a_listing_reads_the_stores_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    door = Door()
    for number in range(20):
        door.service.submit(request(f"key-{number}"))
    calls: list[str] = []
    for name in ("records", "observations"):
        store = getattr(door, name)
        for method in ("all", "get"):
            original = getattr(store, method)

            def counted(*arguments: object, label: str = f"{name}.{method}", call: object = original) -> object:
                calls.append(label)
                return call(*arguments)  # type: ignore[operator]

            monkeypatch.setattr(store, method, counted)
    assert len(door.service.listing(Selection())) == 20
    assert calls == ["records.all", "observations.all"]
