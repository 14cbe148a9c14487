"""The laws of the work queue, on the in-memory fake and on a real Redis through both transports."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from asperathos_worker.queue.api import QueueClosed, QueueMissing
from asperathos_worker.queue.histogram import bucket_of
from asperathos_worker.queue.records import Ack, Lease, NewItem, QueueConfig, Verdict

from tests.support.queues import MemoryWorld, Queue, RedisWorld
from tests.support.redis_process import RedisProcess

World = MemoryWorld | RedisWorld
RULES = QueueConfig(lease=30, retries=2, backoff_base=10, backoff_cap=15)


@pytest.fixture(params=["memory", "wire", "client", "decoding-client"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    if request.param == "memory":
        yield MemoryWorld()
        return
    server: RedisProcess = request.getfixturevalue("redis_server")
    redis_world = RedisWorld(server.url, request.param)
    yield redis_world
    redis_world.close()


@pytest.fixture
def queue(world: World) -> Queue:
    world.queue.open(RULES)
    return world.queue


def batch(count: int, start: int = 0) -> list[NewItem]:
    return [NewItem(f"payload {number}", str(number)) for number in range(start, start + count)]


def ids(leases: tuple[Lease, ...]) -> list[str]:
    return [lease.id for lease in leases]


def place(queue: Queue, id: str) -> str:
    return queue.items([id])[0].place


def test_items_come_out_in_the_order_they_were_put(queue: Queue) -> None:
    assert queue.put(batch(5)) == 5
    assert queue.put(batch(3, start=5)) == 3
    taken = queue.take("w", 0, 6)
    assert taken.verdict is Verdict.ITEMS
    assert taken.lease_seconds == 30
    assert taken.leases[0] == Lease("0", "payload 0", 1, 0)
    assert ids(taken.leases) == ["0", "1", "2", "3", "4", "5"]
    assert ids(queue.take("v", 1, 6).leases) == ["6", "7"]


def test_putting_the_same_ids_again_adds_nothing(queue: Queue) -> None:
    queue.put(batch(4))
    first = queue.take("w", 0, 2).leases
    queue.finish_and_take("w", 0, [Ack("0", 1)], 0)
    assert queue.put([*batch(5), NewItem("twice", "4")]) == 1
    assert queue.stats().put == 5
    assert ids(queue.take("w", 0, 9).leases) == ["2", "3", "4"]
    assert first[1].payload == "payload 1"


def test_a_batch_larger_than_one_call_is_put_whole(queue: Queue) -> None:
    assert queue.put(batch(4500)) == 4500
    assert queue.put(batch(4501)) == 1
    assert ids(queue.take("w", 0, 4500).leases) == [str(number) for number in range(4500)]


@pytest.mark.parametrize("payload", ["", "a b\tc", "line\r\nline", "$5\r\n:1", "päylöad \U0001f600", "x" * 200_000])
def test_payload_result_and_error_come_back_as_they_were(queue: Queue, payload: str) -> None:
    queue.put([NewItem(payload, "a b:c"), NewItem(payload, "ü")])
    leases = queue.take("w 1", 0, 2).leases
    assert [lease.payload for lease in leases] == [payload, payload]
    queue.finish_and_take("w 1", 0, [Ack("a b:c", 1, payload)], 0)
    error = payload[:10_000]
    queue.fail("w 1", leases[1], error, permanent=True)
    assert [(found.id, found.result, found.worker) for found in queue.results()[0]] == [("a b:c", payload, "w 1")]
    assert [(found.id, found.error, found.worker) for found in queue.failures()] == [("ü", error, "w 1")]
    assert [(found.id, found.error, found.worker) for found in queue.dead()[0]] == [("ü", error, "w 1")]
    assert [state.payload for state in queue.items(["a b:c", "ü"])] == [payload, payload]


def test_an_empty_id_is_refused(queue: Queue) -> None:
    with pytest.raises(ValueError, match="empty"):
        queue.put([NewItem("x", "")])


def test_unnumbered_items_get_ids_that_are_free(queue: Queue) -> None:
    assert queue.put([NewItem("first", "1")]) == 1
    assert queue.put([NewItem("second"), NewItem("third")]) == 2
    assert queue.put([NewItem("fourth")]) == 1
    leases = queue.take("w", 0, 9).leases
    assert [lease.payload for lease in leases] == ["first", "second", "third", "fourth"]
    assert len(set(ids(leases))) == 4


def test_finish_and_take_does_both(queue: Queue) -> None:
    queue.put(batch(3))
    queue.take("w", 0)
    taken = queue.finish_and_take("w", 0, [Ack("0", 1, "r0")])
    assert taken.accepted == (True,)
    assert ids(taken.leases) == ["1"]
    only_acknowledged = queue.finish_and_take("w", 0, [Ack("1", 1, "r1")], 0)
    assert only_acknowledged.leases == ()
    assert only_acknowledged.verdict is Verdict.WAIT
    assert [(result.id, result.result, result.attempt) for result in queue.results()[0]] == [
        ("0", "r0", 1),
        ("1", "r1", 1),
    ]
    assert (queue.stats().done, queue.stats().ready) == (2, 1)


def test_one_for_one_refuses_another_attempt(queue: Queue) -> None:
    queue.put(batch(3))
    queue.take("w", 0)
    taken = queue.finish_and_take("w", 0, [Ack("0", 2, "from nowhere")])
    assert (taken.accepted, ids(taken.leases)) == ((False,), ["1"])
    assert place(queue, "0") == "leased"


def test_one_for_one_hands_out_an_expired_item_first(queue: Queue, world: World) -> None:
    queue.put(batch(4))
    queue.take("v", 1)
    world.advance(25)
    queue.take("w", 0)
    world.advance(10)
    taken = queue.finish_and_take("w", 0, [Ack("1", 1)])
    assert taken.leases == (Lease("0", "payload 0", 2, 1),)


def test_one_for_one_hands_out_a_due_item_first(queue: Queue, world: World) -> None:
    queue.put(batch(4))
    queue.fail("v", queue.take("v", 1).leases[0], "no")
    queue.take("w", 0)
    world.advance(10)
    taken = queue.finish_and_take("w", 0, [Ack("1", 1)])
    assert taken.leases == (Lease("0", "payload 0", 2, 1),)


def test_one_for_one_goes_on_counting_attempts_and_places(queue: Queue, world: World) -> None:
    queue.put(batch(4))
    leases = queue.take("w", 0, 2).leases
    queue.release("w", leases[1:])
    taken = queue.finish_and_take("w", 0, [Ack("0", 1, "r0")])
    assert taken.leases == (Lease("1", "payload 1", 2, 0),)
    queue.finish_and_take("w", 0, [Ack("1", 2, "r1")])
    queue.finish_and_take("w", 0, [Ack("2", 1, "r2")])
    again = queue.finish_and_take("w", 0, [Ack("0", 1), Ack("1", 2), Ack("2", 1)], 0)
    assert again.accepted == (True, True, True)
    states = queue.items(["0", "1", "2", "3"])
    assert [(state.place, state.attempt) for state in states] == [("done", 1), ("done", 2), ("done", 1), ("leased", 1)]
    assert [result.result for result in queue.results()[0]] == ["r0", "r1", "r2"]
    assert queue.stats().service.count == 3


def test_results_are_paged_in_order_of_completion(queue: Queue) -> None:
    queue.put(batch(5))
    queue.take("w", 0, 5)
    for id in ("3", "1", "4", "0"):
        queue.finish_and_take("w", 0, [Ack(id, 1, id)], 0)
    first, cursor = queue.results(0, 3)
    rest, end = queue.results(cursor, 3)
    assert [result.id for result in first + rest] == ["3", "1", "4", "0"]
    assert queue.results(end, 3) == ([], end)
    assert all(result.started < result.finished for result in first)


def test_an_old_attempt_is_refused(queue: Queue, world: World) -> None:
    queue.put(batch(1))
    (old,) = queue.take("w", 0).leases
    world.advance(31)
    (new,) = queue.take("v", 1).leases
    assert (new.id, new.attempt, new.failures) == ("0", 2, 1)
    assert queue.finish_and_take("w", 0, [Ack("0", old.attempt, "late")], 0).accepted == (False,)
    assert queue.fail("w", old, "late") is False
    assert queue.release("w", [old]) == 0
    assert queue.extend("w", 0, [old, new]) == (old, new)
    assert queue.finish_and_take("v", 1, [Ack("0", 2, "good")], 0).accepted == (True,)
    assert [result.result for result in queue.results()[0]] == ["good"]
    assert [result.worker for result in queue.results()[0]] == ["v"]


def test_what_another_worker_took_is_nobody_elses_to_settle(queue: Queue) -> None:
    queue.put(batch(3))
    mine, other, third = queue.take("w", 0, 3).leases
    queue.put(batch(4))
    assert len(queue.take("v", 1).leases) == 1
    for liar in ("v", "stranger"):
        assert queue.finish_and_take(liar, 1, [Ack(mine.id, 1, "a lie")], 0).accepted == (False,)
        assert queue.finish_and_take(liar, 1, [Ack(mine.id, 1, "a lie")], 1).accepted == (False,)
        assert queue.finish_and_take(liar, 1, [Ack(other.id, 1, "a lie"), Ack(mine.id, 1, "a lie")]).accepted == (
            False,
            False,
        )
        assert queue.fail(liar, third, "a lie", permanent=True) is False
        assert queue.release(liar, [mine, other, third]) == 0
        assert queue.extend(liar, 1, [mine, third]) == (mine, third)
    assert queue.finish_and_take("w", 0, [Ack(mine.id, 1, "the truth")], 0).accepted == (True,)
    # Nor is it accepted as a repetition.
    assert queue.finish_and_take("v", 1, [Ack(mine.id, 1, "a lie")], 0).accepted == (False,)
    assert [result.result for result in queue.results()[0]] == ["the truth"]
    assert queue.stats().dead == 0


def test_an_expired_lease_is_still_its_holders_until_somebody_takes_the_item(queue: Queue, world: World) -> None:
    queue.put(batch(2))
    queue.take("w", 0, 2)
    world.advance(31)
    assert queue.finish_and_take("w", 0, [Ack("0", 1)], 0).accepted == (True,)
    assert queue.extend("w", 0, [Lease("1", "", 1, 0)]) == ()
    assert queue.take("v", 1).verdict is Verdict.WAIT


def test_repeating_the_accepted_acknowledgement_changes_nothing(queue: Queue) -> None:
    queue.put(batch(2))
    queue.take("w", 0, 2)
    for _ in range(2):
        assert queue.finish_and_take("w", 0, [Ack("0", 1, "r")], 0).accepted == (True,)
    answer = queue.finish_and_take("w", 0, [Ack("1", 1), Ack("1", 1), Ack("1", 2), Ack("none", 1)], 0)
    assert answer.accepted == (True, True, False, False)
    stats = queue.stats()
    assert (stats.done, stats.service.count) == (2, 2)
    assert len(queue.results()[0]) == 2


def test_expired_leases_go_first_then_ended_backoffs_then_ready_items(queue: Queue, world: World) -> None:
    queue.put(batch(4))
    leases = queue.take("w", 0, 2).leases
    queue.fail("w", leases[1], "no")
    assert place(queue, "1") == "delayed"
    assert ids(queue.take("w", 0).leases) == ["2"]
    world.advance(31)
    taken = queue.take("v", 1, 9).leases
    assert ids(taken) == ["0", "2", "1", "3"]
    assert [lease.failures for lease in taken] == [1, 1, 1, 0]
    assert [lease.attempt for lease in taken] == [2, 2, 2, 1]


def test_backoff_doubles_up_to_its_cap(queue: Queue, world: World) -> None:
    queue.put(batch(1))
    (lease,) = queue.take("w", 0).leases
    assert queue.fail("w", lease, "one") is True
    world.advance(9)
    assert queue.take("w", 0).verdict is Verdict.WAIT
    world.advance(1)
    (lease,) = queue.take("w", 0).leases
    assert queue.fail("w", lease, "two") is True
    world.advance(14)
    assert queue.take("w", 0).verdict is Verdict.WAIT
    world.advance(1)
    assert ids(queue.take("w", 0).leases) == ["0"]


def test_an_item_with_too_many_failures_is_dead_with_its_error(queue: Queue, world: World) -> None:
    queue.put(batch(2))
    for attempt in (1, 2, 3):
        (lease,) = queue.take("w", 0).leases
        assert (lease.id, lease.attempt) == ("0", attempt)
        assert queue.fail("w", lease, f"error {attempt}") is True
        world.advance(20)
    assert queue.fail("w", lease, "again") is False
    dead, cursor = queue.dead()
    assert [(found.id, found.attempt, found.error, found.final) for found in dead] == [("0", 3, "error 3", True)]
    assert queue.dead(cursor) == ([], cursor)
    assert [found.error for found in queue.failures()] == ["error 3", "error 2", "error 1"]
    assert [found.final for found in queue.failures(2)] == [True, False]
    (state,) = queue.items(["0"])
    assert (state.place, state.attempt, state.failures, state.error) == ("dead", 3, 3, "error 3")
    assert (queue.stats().dead, queue.stats().failed) == (1, 3)


def test_a_permanent_failure_is_dead_at_once(queue: Queue) -> None:
    queue.put(batch(1))
    (lease,) = queue.take("w", 0).leases
    assert queue.fail("w", lease, "no such file", permanent=True) is True
    assert place(queue, "0") == "dead"


def test_an_item_whose_result_is_too_large_is_dead_whoever_hands_it_in(queue: Queue) -> None:
    queue.open(QueueConfig(retries=5, result_limit=10))
    queue.put(batch(4))
    queue.close()
    leases = queue.take("w", 0, 3).leases
    acks = [Ack("0", 1, "x" * 10), Ack("1", 1, "ä" * 5 + "x"), Ack("1", 1, "small"), Ack("2", 1, "")]
    assert queue.finish_and_take("w", 0, acks, 0).accepted == (True, False, False, True)
    assert len(leases) == 3
    (lease,) = queue.take("w", 0).leases
    taken = queue.finish_and_take("w", 0, [Ack(lease.id, 1, "y" * 50_000_000)])
    assert (taken.accepted, taken.verdict) == ((False,), Verdict.OVER)
    (first, second), _ = queue.dead()
    assert (first.id, first.attempt, first.worker, first.final) == ("1", 1, "w", True)
    assert first.error.startswith("result of 11 bytes is over the limit of 10: store it elsewhere")
    assert second.error.startswith("result of 50000000 bytes is over the limit of 10")
    assert [result.id for result in queue.results()[0]] == ["0", "2"]
    stats = queue.stats()
    assert (stats.done, stats.dead, stats.failed, stats.leased, stats.taken) == (2, 2, 2, 0, 4)
    # The same call once more, as after a lost answer: the item has had its end.
    assert queue.finish_and_take("w", 0, [Ack("1", 1, "small")], 0).accepted == (False,)


def test_without_a_limit_a_large_result_is_kept(queue: Queue) -> None:
    queue.put(batch(1))
    queue.take("w", 0)
    assert queue.finish_and_take("w", 0, [Ack("0", 1, "y" * 3_000_000)], 0).accepted == (True,)


def test_of_a_long_error_the_end_is_kept(queue: Queue) -> None:
    queue.put(batch(2))
    for text in ("ä" * 5_000_000 + "the end", "x" * 16384):
        (lease,) = queue.take("w", 0).leases
        assert queue.fail("w", lease, text, permanent=True)
    (first, second), _ = queue.dead()
    assert first.error.startswith("...ä") and first.error.endswith("äthe end")
    assert 16380 <= len(first.error.encode()) <= 16384
    assert second.error == "x" * 16384
    assert [failure.error for failure in queue.failures()] == [second.error, first.error]


def test_a_poison_item_dies_of_its_expired_leases_and_the_rest_goes_on(queue: Queue, world: World) -> None:
    queue.put(batch(2))
    queue.close()
    queue.take("w", 0)
    for number in range(2):
        world.advance(31)
        assert ids(queue.take(f"w{number}", 0).leases) == ["0"]
    world.advance(31)
    assert ids(queue.take("w", 0).leases) == ["1"]
    ((found,), _) = queue.dead()
    assert found.error.startswith("lease expired")
    assert "w1" in found.error
    assert queue.finish_and_take("w", 0, [Ack("1", 1)]).verdict is Verdict.OVER
    assert (queue.stats().expired, queue.stats().dead, queue.stats().done) == (3, 1, 1)


def test_the_last_item_dying_in_a_take_ends_the_queue(queue: Queue, world: World) -> None:
    queue.open(QueueConfig(lease=30, retries=0))
    queue.put(batch(3))
    queue.close()
    queue.take("w", 0, 3)
    world.advance(31)
    assert queue.take("v", 1).verdict is Verdict.OVER
    assert queue.stats().dead == 3


def test_sweep_returns_expired_leases_without_a_taker(queue: Queue, world: World) -> None:
    queue.put(batch(4))
    queue.take("w", 0, 3)
    assert queue.sweep() == 0
    world.advance(31)
    assert queue.sweep() == 3
    assert queue.sweep() == 0
    stats = queue.stats()
    assert (stats.ready, stats.leased, stats.expired) == (4, 0, 3)
    taken = queue.take("w", 0, 4).leases
    assert ids(taken) == ["0", "1", "2", "3"]
    assert [lease.failures for lease in taken] == [1, 1, 1, 0]
    assert [lease.attempt for lease in taken] == [2, 2, 2, 1]


def test_sweep_buries_what_failed_too_often(queue: Queue, world: World) -> None:
    queue.open(QueueConfig(lease=30, retries=0))
    queue.put(batch(2))
    queue.take("w", 0, 2)
    world.advance(31)
    assert queue.sweep() == 2
    assert [found.id for found in queue.dead()[0]] == ["0", "1"]


def test_release_costs_nothing_and_returns_to_the_front(queue: Queue) -> None:
    queue.put(batch(4))
    leases = queue.take("w", 0, 3).leases
    assert queue.release("w", leases[1:]) == 2
    assert queue.release("w", leases[1:]) == 0
    assert queue.failures() == []
    again = queue.take("v", 1, 9).leases
    assert ids(again) == ["1", "2", "3"]
    assert [(lease.attempt, lease.failures) for lease in again] == [(2, 0), (2, 0), (1, 0)]
    assert queue.stats().released == 2
    assert queue.finish_and_take("w", 0, [Ack("1", 1)], 0).accepted == (False,)


def test_a_release_does_not_forget_failures(queue: Queue, world: World) -> None:
    queue.put(batch(1))
    (lease,) = queue.take("w", 0).leases
    queue.fail("w", lease, "no")
    world.advance(10)
    (lease,) = queue.take("w", 0).leases
    assert (lease.attempt, lease.failures) == (2, 1)
    queue.release("w", [lease])
    (lease,) = queue.take("w", 0).leases
    assert (lease.attempt, lease.failures) == (3, 1)


def test_extending_keeps_the_lease(queue: Queue, world: World) -> None:
    queue.put(batch(1))
    (lease,) = queue.take("w", 0).leases
    for _ in range(3):
        world.advance(20)
        assert queue.extend("w", 0, [lease]) == ()
    assert queue.take("v", 1).verdict is Verdict.WAIT
    world.advance(31)
    assert ids(queue.take("v", 1).leases) == ["0"]
    assert queue.extend("w", 0, [lease]) == (lease,)


def test_an_attempt_that_only_extends_its_lease_fails_when_it_lasts_too_long(queue: Queue, world: World) -> None:
    queue.put(batch(2))
    first, second = queue.take("w", 0, 2).leases
    world.advance(20)
    assert queue.extend("w", 0, [first, second], longest=45) == ()
    queue.finish_and_take("w", 0, [Ack("1", 1)], 0)
    world.advance(24)
    assert queue.extend("w", 0, [first], longest=45) == ()
    world.advance(1)
    assert queue.extend("w", 0, [first, second], longest=45) == (first, second)
    (state,) = queue.items(["0"])
    assert (state.place, state.failures) == ("delayed", 1)
    assert state.error == "timed out: not finished 45 s after it was taken"
    assert (queue.stats().failed, queue.stats().expired) == (1, 0)
    assert queue.finish_and_take("w", 0, [Ack("0", 1)], 0).accepted == (False,)
    world.advance(10)
    assert queue.take("w", 0).leases == (Lease("0", "payload 0", 2, 1),)


def test_a_worker_waits_until_the_queue_is_closed_and_nothing_is_outstanding(queue: Queue, world: World) -> None:
    assert queue.take("w", 0).verdict is Verdict.WAIT
    queue.put(batch(2))
    queue.close()
    leases = queue.take("v", 1, 2).leases
    assert queue.take("w", 0).verdict is Verdict.WAIT
    queue.fail("v", leases[0], "no")
    queue.finish_and_take("v", 1, [Ack("1", 1)], 0)
    assert queue.take("w", 0).verdict is Verdict.WAIT
    world.advance(10)
    assert ids(queue.take("w", 0).leases) == ["0"]
    assert queue.finish_and_take("w", 0, [Ack("0", 2)]).verdict is Verdict.OVER
    assert queue.take("v", 1, 0).verdict is Verdict.OVER
    assert queue.stats().over


def test_an_empty_closed_queue_is_over_at_once(queue: Queue) -> None:
    queue.close()
    assert queue.take("w", 0).verdict is Verdict.OVER
    assert queue.stats().total == 0


def test_workers_beyond_the_limit_drain(queue: Queue) -> None:
    queue.put(batch(6))
    queue.close()
    queue.take("w0", 0)
    queue.take("w2", 2, 2)
    queue.set_limit(2)
    assert queue.stats().limit == 2
    assert queue.busy_from(2) == 2
    assert queue.busy_from(0) == 3
    assert ids(queue.take("w1", 1).leases) == ["3"]
    drained = queue.finish_and_take("w2", 2, [Ack("1", 1)])
    assert (drained.verdict, drained.accepted) == (Verdict.DRAIN, (True,))
    assert queue.busy_from(2) == 1
    queue.set_limit(None)
    assert queue.stats().limit is None
    assert ids(queue.take("w2", 2).leases) == ["4"]


def test_a_draining_worker_learns_that_the_queue_is_over(queue: Queue) -> None:
    queue.set_limit(0)
    queue.close()
    assert queue.take("w", 0).verdict is Verdict.OVER


def test_a_draining_worker_leaves_while_only_the_last_items_are_in_work(queue: Queue) -> None:
    """Those below the limit stay, since a peer may die and its items return."""
    queue.put(batch(2))
    queue.take("w0", 0)
    queue.take("w1", 1)
    queue.set_limit(2)
    assert queue.take("w2", 2).verdict is Verdict.DRAIN, "more items may come"
    queue.close()
    assert queue.take("w2", 2).verdict is Verdict.OVER
    assert queue.finish_and_take("w0", 0, [Ack("0", 1)]).verdict is Verdict.WAIT
    queue.fail("w1", Lease("1", "p1", 1, 0), "broken")
    assert queue.take("w3", 3).verdict is Verdict.DRAIN, "a failed item waits for its next attempt"


def test_a_stopped_queue_hands_out_nothing_but_lets_workers_finish(queue: Queue) -> None:
    queue.put(batch(6))
    leases = queue.take("w", 0, 4).leases
    queue.stop()
    assert queue.take("v", 1).verdict is Verdict.STOPPED
    assert queue.extend("w", 0, leases) == ()
    answer = queue.finish_and_take("w", 0, [Ack("0", 1)])
    assert (answer.verdict, answer.accepted) == (Verdict.STOPPED, (True,))
    assert queue.fail("w", leases[1], "no") is True
    assert queue.release("w", leases[2:]) == 2
    stats = queue.stats()
    assert (stats.stopped, stats.done, stats.delayed, stats.ready, stats.leased) == (True, 1, 1, 4, 0)


@pytest.mark.parametrize("end", ["close", "stop"])
def test_nothing_can_be_put_after_the_end(queue: Queue, end: str) -> None:
    queue.put(batch(1))
    getattr(queue, end)()
    with pytest.raises(QueueClosed):
        queue.put(batch(2))
    assert queue.stats().put == 1


def test_a_missing_queue_says_so(world: World) -> None:
    queue = world.queue
    lease = Lease("0", "", 1, 0)
    for call in (
        lambda: queue.take("w", 0),
        lambda: queue.fail("w", lease, "no"),
        lambda: queue.release("w", [lease]),
        lambda: queue.extend("w", 0, [lease]),
        lambda: queue.report("w", {"loss": 1}),
        lambda: queue.put(batch(1)),
        queue.close,
        queue.stop,
        lambda: queue.set_limit(1),
        queue.stats,
        queue.sweep,
        lambda: queue.busy_from(0),
        queue.workers,
        queue.results,
        queue.failures,
        queue.dead,
        lambda: queue.items(["0"]),
    ):
        with pytest.raises(QueueMissing):
            call()
    assert queue.reported() == {}
    queue.purge()


def test_a_purged_queue_is_missing_and_may_be_opened_anew(queue: Queue, world: World) -> None:
    queue.put(batch(3))
    queue.put([NewItem("unnumbered")])
    leases = queue.take("w", 0, 2).leases
    queue.fail("w", leases[0], "no", permanent=True)
    queue.report("w", {"loss": 1})
    queue.close()
    queue.purge()
    if isinstance(world, RedisWorld):
        assert world.keys() == set()
    with pytest.raises(QueueMissing):
        queue.take("w", 0)
    queue.open(RULES)
    stats = queue.stats()
    assert (stats.put, stats.done, stats.dead, stats.taken, stats.closed) == (0, 0, 0, 0, False)
    assert queue.put(batch(3)) == 3
    assert queue.workers() == []
    assert queue.reported() == {}


def test_opening_again_changes_the_rules_and_nothing_else(queue: Queue) -> None:
    queue.put(batch(2))
    queue.take("w", 0)
    queue.set_limit(5)
    queue.close()
    queue.open(QueueConfig(lease=7.5))
    taken = queue.take("w", 0)
    assert (taken.lease_seconds, ids(taken.leases)) == (7.5, ["1"])
    stats = queue.stats()
    assert (stats.put, stats.leased, stats.limit, stats.closed) == (2, 2, 5, True)


def test_items_say_where_they_are(queue: Queue, world: World) -> None:
    queue.put(batch(6))
    leases = queue.take("w", 0, 5).leases
    queue.finish_and_take("w", 0, [Ack("0", 1)], 0)
    queue.fail("w", leases[1], "gone", permanent=True)
    queue.fail("w", leases[2], "busy")
    queue.release("w", [leases[3]])
    states = queue.items(["5", "nowhere", *ids(leases)])
    assert [(state.id, state.place, state.attempt, state.failures) for state in states] == [
        ("5", "ready", 0, 0),
        ("0", "done", 1, 0),
        ("1", "dead", 1, 1),
        ("2", "delayed", 1, 1),
        ("3", "ready", 1, 0),
        ("4", "leased", 1, 0),
    ]
    assert [state.error for state in states] == ["", "", "gone", "busy", "", ""]
    assert [state.worker for state in states] == ["", "w", "w", "", "", "w"]
    world.advance(10)
    (lease,) = (lease for lease in queue.take("v", 1, 9).leases if lease.id == "2")
    queue.finish_and_take("v", 1, [Ack("2", lease.attempt)], 0)
    (state,) = queue.items(["2"])
    assert (state.place, state.attempt, state.failures, state.worker, state.error) == ("done", 2, 1, "v", "")


def test_workers_are_known_by_index(queue: Queue, world: World) -> None:
    queue.put(batch(3))
    queue.take("late", 7)
    queue.take("early", 1, 2)
    world.advance(5)
    queue.extend("late", 8, [Lease("0", "", 1, 0)])
    at = queue.stats().at
    found = queue.workers()
    assert [(info.name, info.index, info.busy) for info in found] == [("early", 1, 2), ("late", 8, 1)]
    assert [round(at - info.seen) for info in found] == [5, 0]


def test_metrics_keep_the_last_value_per_worker(queue: Queue) -> None:
    queue.report("w", {"loss": 0.3, "a b\nc": -1e300})
    queue.report("v", {"loss": 2})
    queue.report("w", {"loss": 0.1})
    queue.report("w", {})
    assert queue.reported() == {"loss": {"w": 0.1, "v": 2.0}, "a b\nc": {"w": -1e300}}


def test_service_times_are_counted(queue: Queue, world: World) -> None:
    queue.put(batch(3))
    queue.take("w", 0)
    world.advance(2)
    queue.finish_and_take("w", 0, [Ack("0", 1)])
    world.advance(4)
    running = queue.stats().running
    queue.finish_and_take("w", 0, [Ack("1", 1)], 0)
    service = queue.stats().service
    assert [round(age) for age in running] == [4]
    assert service.count == 2
    assert service.buckets == {bucket_of(2.01): 1, bucket_of(4.01): 1}
    assert service.total == pytest.approx(6, abs=0.5)
    assert service.squares == pytest.approx(20, abs=3)
    assert service.longest == pytest.approx(4, abs=0.4)
    assert queue.stats().wait.count == 0


def test_a_batch_counts_its_time_once(queue: Queue, world: World) -> None:
    queue.put(batch(12))
    leases = queue.take("w", 0, 10).leases
    world.advance(10)
    queue.finish_and_take("w", 0, [Ack(lease.id, 1) for lease in leases[:8]], 0)
    world.advance(3)
    queue.fail("w", leases[8], "no")
    world.advance(4)
    queue.finish_and_take("w", 0, [Ack(leases[9].id, 1)], 0)
    service = queue.stats().service
    assert service.buckets == {bucket_of(10 / 8): 8, bucket_of(4.01): 1}
    assert service.total == pytest.approx(14, abs=0.5)


def test_a_stream_knows_how_long_its_items_wait(queue: Queue, world: World) -> None:
    queue.open(QueueConfig(lease=30, backoff_base=10, stream=True))
    assert queue.stats().oldest_ready_wait is None
    queue.put([NewItem("one"), NewItem("two")])
    world.advance(4)
    queue.put([NewItem("three")])
    assert queue.stats().oldest_ready_wait == pytest.approx(4, abs=0.4)
    leases = queue.take("w", 0, 2).leases
    assert queue.stats().oldest_ready_wait == pytest.approx(0, abs=0.4)
    queue.release("w", leases[:1])
    queue.fail("w", leases[1], "no")
    world.advance(12)
    queue.take("v", 1, 3)
    wait = queue.stats().wait
    assert wait.count == 5
    # 4 + 4, then 12 since its release, 2 since its backoff ended, 12 since it was put.
    assert wait.total == pytest.approx(34, abs=1)
    assert wait.longest == pytest.approx(12, abs=0.4)


def test_the_oldest_wait_is_not_hidden_by_items_handed_back(queue: Queue, world: World) -> None:
    queue.open(QueueConfig(lease=30, stream=True))
    queue.put([NewItem("one"), NewItem("two")])
    world.advance(6)
    queue.release("w", queue.take("w", 0).leases)
    assert queue.stats().oldest_ready_wait == pytest.approx(6, abs=0.4)


def test_a_stream_keeps_a_bounded_number_of_finished_items(queue: Queue) -> None:
    queue.open(QueueConfig(stream=True, retain=2))
    queue.put(batch(5))
    queue.take("w", 0, 4)
    for number in range(4):
        assert queue.finish_and_take("w", 0, [Ack(str(number), 1, "r")], 0).accepted == (True,)
    results, cursor = queue.results()
    assert [result.id for result in results] == ["2", "3"]
    assert (cursor, queue.stats().done) == (4, 4)
    assert [state.id for state in queue.items(["0", "1", "2", "3", "4"])] == ["2", "3", "4"]
    assert [state.place for state in queue.items(["3", "4"])] == ["done", "ready"]
    queue.take("w", 0)
    queue.finish_and_take("w", 0, [Ack("4", 1, "r4")], 0)
    results, cursor = queue.results(cursor)
    assert [result.id for result in results] == ["4"]
    assert queue.results(cursor)[0] == []


def test_lines_tell_what_became_of_each_item(queue: Queue, world: World) -> None:
    queue.put([*batch(4), NewItem("with a colon", "a b:c\n"), NewItem("x", "ü")])
    began = queue.stats().at
    leases = queue.take("w 1", 0, 5).leases
    world.advance(3)
    queue.finish_and_take("w 1", 0, [Ack("a b:c\n", 1, "r" * 1000)], 0)
    queue.fail("w 1", leases[0], "lost\ncause", permanent=True)
    queue.fail("w 1", leases[1], "try again")
    queue.release("w 1", [leases[2]])
    (done,), _ = queue.lines("done")
    assert (done.id, done.place, done.attempt, done.failures, done.worker, done.error) == (
        *("a b:c\n", "done", 1, 0),
        *("w 1", ""),
    )
    assert done.started is not None and done.ended is not None
    assert done.started == pytest.approx(began, abs=1.0)
    assert done.ended - done.started == pytest.approx(3.0, abs=1.0)
    (dead,), _ = queue.lines("dead")
    assert (dead.id, dead.attempt, dead.failures, dead.started, dead.error) == ("0", 1, 1, None, "lost\ncause")
    assert dead.ended == pytest.approx(done.ended, abs=1.0)
    (delayed,), _ = queue.lines("delayed")
    assert (delayed.id, delayed.attempt, delayed.failures, delayed.worker, delayed.error) == (
        "1",
        1,
        1,
        "",
        "try again",
    )
    (leased,), _ = queue.lines("leased")
    assert (leased.id, leased.worker, leased.started, leased.ended) == ("3", "w 1", done.started, None)
    ready, _ = queue.lines("ready")
    assert [(one.id, one.attempt, one.started) for one in ready] == [("2", 1, None), ("ü", 0, None)]
    with pytest.raises(ValueError, match="nowhere"):
        queue.lines("nowhere")


def test_lines_are_paged(queue: Queue) -> None:
    queue.put(batch(130))
    leases = queue.take("w", 0, 120).leases
    queue.finish_and_take("w", 0, [Ack(lease.id, 1) for lease in leases], 0)
    seen: list[str] = []
    cursor = 0
    while True:
        page, cursor = queue.lines("done", cursor, 55)
        seen += [one.id for one in page]
        if len(page) < 55:
            break
    assert seen == ids(leases)
    assert queue.lines("done", cursor, 55) == ([], cursor)
    assert queue.lines("ready", 8, 0) == ([], 8)
    assert [one.id for one in queue.lines("ready", 8, 10)[0]] == ["128", "129"]


def test_lines_of_a_stream_go_on_where_they_are_kept(queue: Queue) -> None:
    queue.open(QueueConfig(stream=True, retain=2))
    queue.put(batch(5))
    for lease in queue.take("w", 0, 5).leases:
        queue.finish_and_take("w", 0, [Ack(lease.id, lease.attempt)], 0)
    page, cursor = queue.lines("done")
    assert ([one.id for one in page], cursor) == (["3", "4"], 5)
