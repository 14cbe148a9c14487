from __future__ import annotations

from asperathos_worker.hand import Hand
from asperathos_worker.queue.records import Ack, Lease


def lease(id: str, failures: int = 0, attempt: int = 1) -> Lease:
    return Lease(id, "payload " + id, attempt, failures)


A, B, C = lease("a"), lease("b"), lease("c")


def hand_with(*leases: Lease) -> Hand:
    hand = Hand()
    hand.add(leases, 10.0, 30.0)
    return hand


def test_a_lease_lives_from_taken_to_acknowledged() -> None:
    hand = hand_with(A)
    assert hand.heartbeat_due() == 20.0
    assert hand.unstarted_since() == 10.0
    assert hand.start(1, 11.0) == (A,)
    assert hand.started_at() == 11.0 and hand.unstarted_since() is None
    assert hand.settle(A)
    hand.finish(Ack("a", 1, "r"), 12.0)
    assert hand.acks_since() == 12.0
    assert [held.id for held in hand.held()] == ["a"]
    acks = hand.take_acks()
    assert acks == [Ack("a", 1, "r")]
    assert [held.id for held in hand.held()] == ["a"], "an ack on its way still needs its lease"
    hand.acked(acks)
    assert hand.held() == () and hand.heartbeat_due() is None


def test_items_that_failed_before_are_started_alone() -> None:
    bad = lease("bad", failures=1, attempt=2)
    hand = hand_with(A, bad, B, C)
    assert [hand.start(10, 0.0) for _ in range(4)] == [(A,), (bad,), (B, C), ()]


def test_what_was_abandoned_is_not_settled() -> None:
    hand = hand_with(A, B)
    hand.start(1, 0.0)
    assert hand.abandon_current() == (A,)
    assert hand.started_at() is None and hand.current() == ()
    assert hand.abandon_current() == ()
    assert not hand.settle(A)
    assert [held.id for held in hand.held()] == ["b"]


def test_losing_leases_wherever_they_are() -> None:
    hand = hand_with(A, B, C)
    hand.start(1, 0.0)
    hand.settle(A)
    hand.finish(Ack("a", 1, ""), 1.0)
    hand.start(1, 1.0)
    assert set(hand.lost((A, B, C, lease("x")))) == {Lease("a", "", 1, 0), B, C}
    assert not hand.settle(B)
    assert hand.take_acks() == [] and hand.drop_unstarted() == () and hand.held() == ()


def test_an_ack_on_its_way_is_not_lost_but_decided_by_the_queue() -> None:
    hand = hand_with(A)
    hand.start(1, 0.0)
    hand.settle(A)
    hand.finish(Ack("a", 1, ""), 1.0)
    hand.take_acks()
    assert hand.lost((A,)) == ()


def test_another_attempt_of_the_same_item_is_another_lease() -> None:
    hand = hand_with(lease("a", attempt=2))
    assert hand.lost((lease("a", attempt=1),)) == ()
    assert len(hand.held()) == 1


def test_acks_and_leases_come_back_in_order() -> None:
    hand = hand_with(A, B)
    hand.finish(Ack("x", 1), 1.0)
    acks = hand.take_acks()
    hand.finish(Ack("y", 1), 2.0)
    hand.return_acks(acks, 3.0)
    assert [ack.id for ack in hand.take_acks()] == ["x", "y"]
    dropped = hand.drop_unstarted()
    assert dropped == (A, B) and hand.heartbeat_due() is None
    hand.put_back(dropped)
    assert hand.start(2, 0.0) == (A, B)


def test_heartbeats_count_from_the_oldest() -> None:
    hand = hand_with(A)
    hand.add((B,), 13.0, 30.0)
    assert hand.heartbeat_due() == 20.0
    hand.renewed((A, B), 25.0)
    assert hand.heartbeat_due() == 35.0
