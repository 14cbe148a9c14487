"""Workers that have only HTTP: what they may say, and what they are told."""

from __future__ import annotations

from typing import Any

import pytest
from asperathos_worker.queue.records import NewItem, QueueConfig

from common.domain.errors import Unavailable
from common.domain.states import State
from manager.item_desk import DeskRules
from manager.item_tokens import ItemTokens, shared_secret
from tests.support.item_door import ItemDoor
from tests.support.manager_door import NATIVE

VERBS = ("claim", "complete", "fail", "release", "extend")


def one(id: str, attempt: int = 1, **more: Any) -> dict[str, Any]:
    return {"items": [{"id": id, "attempt": attempt, **more}]}


def test_an_item_is_claimed_and_completed() -> None:
    door = ItemDoor("first", "second")
    claimed = door.post("claim", {"worker": "pod-1", "index": 3, "count": 5})
    assert claimed.status_code == 200
    assert claimed.get_json() == {
        "verdict": "items",
        "lease_seconds": 30.0,
        "items": [
            {"id": "0", "payload": "first", "attempt": 1, "failures": 0},
            {"id": "1", "payload": "second", "attempt": 1, "failures": 0},
        ],
    }
    (worker,) = door.queue.workers()
    assert (worker.name, worker.index, worker.busy) == ("pod-1", 3, 2)
    done = door.post("complete", {"worker": "pod-1", "items": [*one("0", result="FIRST")["items"], *one("1")["items"]]})
    assert done.get_json() == {
        "items": [{"id": "0", "attempt": 1, "accepted": True}, {"id": "1", "attempt": 1, "accepted": True}]
    }
    assert [(result.id, result.result) for result in door.queue.results()[0]] == [("0", "FIRST"), ("1", "")]
    assert door.post("claim").get_json() == {"verdict": "over", "lease_seconds": 30.0, "items": []}


def test_a_stale_attempt_is_refused_item_by_item() -> None:
    door = ItemDoor("a", "b")
    door.post("claim", {"count": 2})
    door.clock.advance(31)
    again = door.post("claim", {"worker": "other", "count": 1}).get_json()["items"]
    assert [(item["id"], item["attempt"]) for item in again] == [("0", 2)]
    for what in ("complete", "fail", "release", "extend"):
        answer = door.post(what, one("0", 1))
        assert (answer.status_code, answer.get_json()["items"][0]["accepted"]) == (200, False), what
        assert door.plain(what, "id=0&attempt=1").status_code == 409, what
    assert door.place("0") == "leased"
    both = [*one("0", 1)["items"], *one("0", 2)["items"]]
    for worker, accepted in (("http", [False, False]), ("other", [False, True])):
        mixed = door.post("complete", {"worker": worker, "items": both}).get_json()["items"]
        assert [item["accepted"] for item in mixed] == accepted


def test_a_failed_attempt_is_tried_again_until_its_retries_are_used_up() -> None:
    door = ItemDoor("a")
    door.post("claim")
    assert door.post("fail", one("0", error="no luck")).get_json()["items"][0]["accepted"]
    door.clock.advance(1)
    assert door.post("claim").get_json()["items"][0]["failures"] == 1
    door.post("fail", one("0", 2, error="x" * 10_000))
    assert door.place("0") == "dead"
    assert [len(failure.error) for failure in door.queue.failures()] == [4000, 7]


def test_a_permanent_failure_is_the_last_one() -> None:
    door = ItemDoor("a", "b")
    door.post("claim", {"count": 2})
    door.post("fail", one("0", error="never", permanent=True))
    assert door.plain("fail", "id=1&attempt=1&permanent=true", b"never\n").status_code == 200
    assert (door.place("0"), door.place("1")) == ("dead", "dead")


def test_released_items_keep_their_order_and_cost_nothing() -> None:
    door = ItemDoor("a", "b", "c")
    items = door.post("claim", {"count": 2}).get_json()["items"]
    held = [{"id": item["id"], "attempt": item["attempt"]} for item in items]
    assert [told["accepted"] for told in door.post("release", {"items": held}).get_json()["items"]] == [True, True]
    again = door.post("claim", {"count": 3}).get_json()["items"]
    assert [(item["id"], item["attempt"], item["failures"]) for item in again] == [
        ("0", 2, 0),
        ("1", 2, 0),
        ("2", 1, 0),
    ]


def test_an_extended_lease_outlives_its_first_end() -> None:
    door = ItemDoor("a")
    door.post("claim")
    door.clock.advance(25)
    assert door.post("extend", one("0")).get_json()["items"][0]["accepted"]
    door.clock.advance(25)
    assert door.post("claim").get_json()["verdict"] == "wait"
    assert door.plain("complete", "id=0&attempt=1").status_code == 200


def test_a_worker_that_only_extends_keeps_its_item_no_longer_than_its_item_timeout() -> None:
    door = ItemDoor("a")
    door.change(door.id, spec=door.record(door.id).spec.model_copy(update={"item_timeout": 60.0}))
    door.post("claim")
    for _ in range(2):
        door.clock.advance(25)
        assert door.post("extend", one("0")).get_json()["items"][0]["accepted"]
    door.clock.advance(10)
    assert door.plain("extend", "id=0&attempt=1").status_code == 409
    (failure,) = door.queue.failures()
    assert failure.error == "timed out: not finished 60 s after it was taken"
    assert door.post("claim").get_json()["items"][0]["attempt"] == 2


def test_the_plain_form_needs_no_parser() -> None:
    door = ItemDoor("two\nlines ", "b")
    claimed = door.plain("claim", "worker=pod-1&index=2")
    assert claimed.mimetype == "text/plain"
    assert claimed.text == "items 1 30 0\ntwo\nlines "
    completed = door.plain("complete", "worker=pod-1&index=2&id=0&attempt=1", "größe \n\n".encode())
    assert (completed.status_code, completed.text) == (200, "accepted\n")
    assert door.queue.results()[0][0].result == "größe "
    assert door.plain("claim").text.startswith("items 1 30 1\n")
    assert door.plain("extend", "id=1&attempt=1").text == "accepted\n"
    assert door.plain("release", "id=1&attempt=1").text == "accepted\n"
    assert door.plain("claim").text.startswith("items 2 30 1\n")
    assert door.plain("complete", "id=1&attempt=2", b"\xff").status_code == 200
    assert door.plain("claim").text == "over\n"


def test_odd_ids_go_through_the_plain_form_and_back() -> None:
    door = ItemDoor()
    door.queue.purge()
    door.queue.open(QueueConfig())
    door.queue.put([NewItem("payload", "a b/ü&id=0%")])
    head = door.plain("claim").text.splitlines()[0]
    assert head == "items 1 60 a%20b%2F%C3%BC%26id%3D0%25"
    assert door.plain("complete", f"attempt=1&id={head.split()[3]}").status_code == 200


@pytest.mark.parametrize("what", VERBS)
def test_only_the_submissions_own_token_opens(what: str) -> None:
    door = ItemDoor("a")
    other = door.submit(NATIVE)
    url = f"/submissions/{door.id}/items/{what}"
    basic = {"Authorization": "Basic eDp5"}
    for headers in ({}, basic, {"Authorization": "Bearer "}, {"Authorization": "Bearer"}):
        assert door.client.post(url, json={}, headers=headers).status_code == 401
    for token in ("wrong", door.tokens.token(other), door.tokens.token(door.id)[:-1], "é"):
        headers = {"Authorization": f"Bearer {token}"}
        assert door.client.post(url, json={}, headers=headers).status_code == 403
    assert door.place("0") == "ready"


def test_every_manager_makes_the_same_tokens_and_no_two_submissions_have_the_same() -> None:
    door = ItemDoor("a")
    neighbour = ItemTokens(shared_secret(door.claims))
    assert neighbour.token(door.id) == door.tokens.token(door.id) != door.tokens.token("kj-0000000")
    given = ItemTokens(shared_secret(door.claims, "operator's"))
    assert given.token(door.id) != door.tokens.token(door.id)
    assert ItemTokens(shared_secret(ItemDoor("a").claims)).token(door.id) != door.tokens.token(door.id)


def test_a_claim_waits_for_an_item_but_not_for_ever() -> None:
    door = ItemDoor("a", rules=DeskRules(longest_wait=5.0))
    door.post("claim")
    began = door.clock.now()
    assert door.post("claim", {"wait": 60}).get_json()["verdict"] == "wait"
    assert door.clock.now() - began == pytest.approx(5.0, abs=0.6)
    door.clock.advance(23)
    waited = door.post("claim", {"wait": 4})
    assert [item["attempt"] for item in waited.get_json()["items"]] == [2], "the lease ran out meanwhile"


def test_without_a_free_seat_a_claim_is_answered_at_once() -> None:
    door = ItemDoor("a", rules=DeskRules(seats=1))
    door.post("claim")
    seen = []

    def meanwhile(seconds: float) -> None:
        if not seen:
            began = door.clock.now()
            seen.append(door.post("claim", {"wait": 10}).get_json()["verdict"])
            assert door.clock.now() == began
        door.clock.advance(seconds)

    door.clock.sleep = meanwhile  # type: ignore[method-assign]
    assert door.post("claim", {"wait": 2}).get_json()["verdict"] == "wait"
    assert seen == ["wait"]
    assert door.post("claim", {"wait": 2}).get_json()["verdict"] == "wait", "the seat is free again"


def test_workers_are_told_to_drain_and_to_stop() -> None:
    door = ItemDoor("a")
    door.queue.set_limit(1)
    assert door.plain("claim", "index=1").text == "drain\n"
    door.queue.stop()
    assert door.plain("claim", "index=1").text == "stopped\n"


@pytest.mark.parametrize(
    ("what", "body", "field"),
    [
        ("claim", {"count": 0}, "count"),
        ("claim", {"count": 101}, "count"),
        ("claim", {"wait": -1}, "wait"),
        ("claim", {"worker": "a b"}, "worker"),
        ("claim", {"wrker": "a"}, "wrker"),
        ("claim", ["a"], "body"),
        ("complete", {}, "items"),
        ("complete", {"items": []}, "items"),
        ("complete", one("0", result=3), "items.0.result"),
        ("complete", one("0", result="a\0"), "items.0.result"),
        ("complete", one("0", result="\ud800"), "items.0.result"),
        ("complete", one("0", 0), "items.0.attempt"),
        ("complete", one("0", error="x"), "items.0.error"),
        ("fail", one("", error="x"), "items.0.id"),
        ("fail", {"items": [{"id": "0", "attempt": 1}] * 101}, "items"),
        ("release", {"items": [{"id": "0"}]}, "items.0.attempt"),
        ("extend", one("0", "1"), "items.0.attempt"),
    ],
)
def test_what_is_wrong_is_named_and_nothing_happens(what: str, body: Any, field: str) -> None:
    door = ItemDoor("a")
    answer = door.post(what, body)
    assert answer.status_code == 400, answer.text
    assert field in [fault["field"] for fault in answer.get_json()["details"]]
    assert door.place("0") == "ready"


@pytest.mark.parametrize(
    ("what", "query"),
    [
        ("claim", "count=2"),
        ("claim", "wait=long"),
        ("claim", "index=-1"),
        ("complete", "id=0"),
        ("fail", "attempt=1"),
        ("extend", "id=0&attempt=one"),
        ("fail", "id=0&attempt=1&permanent=maybe"),
        ("release", "permanent=true"),
    ],
)
def test_wrong_parameters_are_named_too(what: str, query: str) -> None:
    answer = ItemDoor("a").plain(what, query)
    assert answer.status_code == 400
    assert answer.get_json()["details"]


def test_a_result_over_the_limit_is_refused() -> None:
    door = ItemDoor("a", rules=DeskRules(result_limit=3))
    door.post("claim")
    assert door.post("complete", one("0", result="ää")).status_code == 413
    assert door.post("complete", one("0", result="abc")).status_code == 200


def test_where_no_queue_is_there_is_nothing_to_take() -> None:
    door = ItemDoor("a")
    door.queue.purge()
    assert door.post("claim").status_code == 409
    door.change(door.id, state=State.LOADING)
    assert door.post("claim").status_code == 503
    dedicated = door.submit({"command": ["x"], "workload": ["a"], "queue": "dedicated"})
    headers = {"Authorization": f"Bearer {door.tokens.token(dedicated)}"}
    assert door.client.post(f"/submissions/{dedicated}/items/claim", headers=headers).status_code == 409
    unknown = {"Authorization": f"Bearer {door.tokens.token('kj-0000000')}"}
    assert door.client.post("/submissions/kj-0000000/items/claim", headers=unknown).status_code == 404


def test_without_redis_the_answer_is_come_again() -> None:
    door = ItemDoor("a")
    door.queues.down = True
    answer = door.post("claim")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "2")
    door.claims.down = True
    with pytest.raises(Unavailable):
        ItemTokens(shared_secret(door.claims)).token(door.id)
