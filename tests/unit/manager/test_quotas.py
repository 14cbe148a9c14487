"""What a user may have at most."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from asperathos_worker.queue.records import NewItem, QueueConfig

from common.domain.accounts import Principal, Quota, Role
from common.domain.errors import Conflict, InvalidSubmission, TooManyRequests
from manager.service import Request
from tests.support.manager_door import NATIVE, Door

ALICE = Principal("alice", "user", Role.SUBMITTER, Quota(submissions=2))
BOB = Principal("bob", "user", Role.SUBMITTER, Quota(submissions=2))


def submit(door: Door, by: Principal = ALICE, key: str = "") -> str:
    return door.service.submit(Request(NATIVE, key, by=by)).id


def test_a_user_has_so_many_submissions_that_have_not_ended() -> None:
    door = Door()
    first, _ = submit(door), submit(door)
    with pytest.raises(TooManyRequests, match=r"alice has 2 .* quota is 2"):
        submit(door)
    submit(door, BOB)
    door.end(first)
    submit(door)
    with pytest.raises(TooManyRequests):
        submit(door)
    assert door.record(first).owner == "alice"


def test_a_refused_one_leaves_nothing() -> None:
    door = Door()
    submit(door), submit(door)
    before = door.records.ids(), door.held.entries("alice")
    for _ in range(3):
        with pytest.raises(TooManyRequests):
            submit(door)
    assert (door.records.ids(), door.held.entries("alice")) == before


def test_the_same_request_again_is_no_other_submission() -> None:
    door = Door()
    assert submit(door, key="k") == submit(door, key="k")
    submit(door)
    assert submit(door, key="k") == submit(door, key="k")


def test_many_at_once_are_never_more_than_one_may_have() -> None:
    door = Door()

    def attempt(_: int) -> bool:
        try:
            submit(door)
        except TooManyRequests:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        accepted = sum(pool.map(attempt, range(40)))
    assert accepted <= 2
    assert len(door.records.ids()) == accepted


def test_a_place_taken_by_a_request_that_died_is_free_again() -> None:
    door = Door()
    door.quotas.take(ALICE, "kj-0000000", door.clock.now())
    submit(door)
    with pytest.raises(TooManyRequests):
        submit(door)
    door.clock.advance(31)
    submit(door)


def test_a_stream_takes_so_many_items() -> None:
    door = Door()
    eve = Principal("eve", "user", Role.SUBMITTER, Quota(items=3))
    id = door.service.submit(Request({"run": "cat {item}", "target": {"latency": 5}}, by=eve)).id
    door.queues.at(door.record(id).queue).open(QueueConfig(stream=True))
    assert door.service.add_items(id, [NewItem("a"), NewItem("b")]) == 2
    with pytest.raises(Conflict, match="no more items than 3, the quota of eve"):
        door.service.add_items(id, [NewItem("c"), NewItem("d")])
    assert door.service.add_items(id, [NewItem("c")]) == 1


def test_a_submission_has_so_many_items() -> None:
    door = Door()
    with pytest.raises(InvalidSubmission, match="2 items, and the quota of eve is 1 a submission"):
        submit(door, Principal("eve", "user", Role.SUBMITTER, Quota(items=1)))
    assert door.is_untouched()
    id = submit(door, Principal("eve", "user", Role.SUBMITTER, Quota(items=2)))
    assert door.record(id).item_quota == 2
