"""From the requested to the desired count: drains, limits, added indexes."""

from __future__ import annotations

from typing import Any

from common.domain.progress import Replicas
from common.domain.submission import Kind
from controller.actuation import (
    DRAIN_TICK,
    LOOK,
    LOOK_WHEN_EVEN,
    aim,
    lowest_harmless,
    must_force,
    next_look,
    reconcile,
)
from controller.guard import Bounds
from controller.record import Scaling, begin
from tests.unit.controller.builders import START, observed
from tests.unit.controller.plant import request_for

NOW = START + 100.0
BOUNDS = Bounds(1, 10)


def record(desired: int, requested: int, kind: Kind = Kind.BATCH, **given: Any) -> Scaling:
    kept = begin(request_for("nop", kind=kind, drain_timeout=30), NOW - 60.0)
    fields = {"desired": desired, "requested": requested, "seen_at": NOW - 1.0, "patched_at": NOW - 60.0, **given}
    return kept.model_copy(update=fields)


def test_up_is_at_once_and_lifts_the_limit() -> None:
    move = aim(record(5, 2, limit=2), NOW)
    assert (move.replicas, move.limit, move.draining) == (5, None, False)


def test_down_begins_a_drain_and_keeps_its_clock() -> None:
    begun = aim(record(2, 5), NOW)
    assert (begun.replicas, begun.limit, begun.drain_since) == (2, 2, NOW)
    going_on = aim(record(2, 5, limit=2, drain_since=NOW - 9), NOW)
    assert going_on.drain_since == NOW - 9
    lower = aim(record(1, 5, limit=2, drain_since=NOW - 9), NOW)
    assert (lower.limit, lower.drain_since) == (1, NOW), "those newly to be drained get their full time"


def test_an_upward_decision_cancels_a_drain() -> None:
    back = aim(record(5, 5, limit=2, drain_since=NOW - 9), NOW)
    assert (back.replicas, back.limit, back.draining) == (5, None, False)


def test_after_a_drain_the_limit_stays() -> None:
    assert aim(record(2, 2, limit=2), NOW).limit == 2


def test_a_clock_that_stepped_back_restarts_the_drain() -> None:
    assert aim(record(2, 5, limit=2, drain_since=NOW + 999), NOW).drain_since == NOW


def test_the_job_is_lowered_only_as_far_as_nobody_busy_is_cut_off() -> None:
    kept = record(2, 9)
    move = aim(kept, NOW)
    assert lowest_harmless(move, kept, None, False) == 2
    assert lowest_harmless(move, kept, 4, False) == 5
    assert lowest_harmless(move, kept, 8, False) == 9
    assert lowest_harmless(move, kept, 2**31, False) == 9
    assert lowest_harmless(move, kept, 8, True) == 2


def test_a_drain_is_forced_after_its_timeout_but_never_on_the_last_items() -> None:
    kept = record(2, 9, limit=2, drain_since=NOW - 30)
    move = aim(kept, NOW)
    assert must_force(move, kept, observed(ready=5), NOW)
    assert not must_force(move, kept, observed(ready=5), NOW - 1)
    assert not must_force(move, kept, observed(ready=0, delayed=0, leased=3), NOW)
    stream = record(2, 9, Kind.STREAM, limit=2, drain_since=NOW - 30)
    assert must_force(move, stream, observed(ready=0), NOW)


def settled(kept: Scaling, seconds: float, **seen: Any) -> Scaling:
    """The record after the same sight for so many seconds."""
    at = 0.0
    while at <= seconds:
        kept = kept.model_copy(update={"seen_at": NOW + at})
        kept = reconcile(kept, observed(**{"ready": 20, **seen}), BOUNDS, NOW + at)
        at += 1.0
    return kept


def test_missing_pods_make_it_ask_for_more_indexes_after_a_while() -> None:
    kept = record(5, 5)
    assert settled(kept, 3.0, requested=5, observed=3, pending=1).extra == 0
    assert settled(kept, 6.0, requested=5, observed=3, pending=1).extra == 1


def test_pending_pods_are_not_missing() -> None:
    assert settled(record(5, 5), 60.0, requested=5, observed=1, pending=4).extra == 0


def test_added_indexes_stay_within_max() -> None:
    kept = record(9, 9)
    assert settled(kept, 8.0, requested=9, observed=4, pending=0).extra == 1


def test_enough_pods_with_an_added_index_is_even_and_too_many_remove_it() -> None:
    kept = record(5, 6, extra=1)
    assert settled(kept, 60.0, requested=6, observed=5, pending=0).extra == 1
    assert settled(kept, 5.0, requested=6, observed=6, pending=0).extra == 1
    assert settled(kept, 11.0, requested=6, observed=6, pending=0).extra == 0


def test_items_that_return_when_drained_workers_have_left_get_indexes_beyond_max() -> None:
    """Ten indexes, of which eight have ended for good; two pods live, and items wait again."""
    seen = {"requested": 10, "observed": 2, "pending": 0, "ended": 8}
    assert settled(record(10, 10), 6.0, **seen).extra == 8
    # The drain was still going on, held up by the highest index: the Job is raised beyond what it has.
    draining = record(5, 10, limit=5, drain_since=NOW - 5)
    extended = settled(draining, 6.0, **seen)
    assert extended.desired + extended.extra == 13
    assert aim(extended, NOW + 6.0).limit is None
    # Pods never exceed the user's maximum.
    assert settled(record(10, 10), 6.0, **{**seen, "observed": 1, "ended": 4}).extra == 4


def test_a_drain_alone_asks_for_no_indexes() -> None:
    draining = record(3, 5, limit=3, drain_since=NOW - 5)
    assert settled(draining, 60.0, requested=5, observed=5, pending=0).extra == 0


def test_nothing_is_added_when_nothing_waits() -> None:
    assert settled(record(5, 5), 60.0, requested=5, observed=1, pending=0, ready=0).extra == 0


def test_a_job_scaled_by_others_is_noticed_but_not_just_after_a_patch() -> None:
    assert settled(record(5, 5), 0.0, requested=2).requested == 2
    fresh = record(5, 5, patched_at=NOW - 1.0)
    assert settled(fresh, 0.0, requested=2).requested == 5


def test_a_stale_observation_or_a_silent_cluster_changes_nothing() -> None:
    stale = record(5, 5, seen_at=NOW - 60.0, patched_at=NOW - 90.0)
    assert reconcile(stale, observed(requested=2), BOUNDS, NOW) is stale
    kept = record(5, 5)
    assert reconcile(kept, observed(requested=2, cluster_available=False), BOUNDS, NOW) is kept


def test_what_is_all_there_is_compared_less_often() -> None:
    kept = record(3, 3)

    def wait(requested: int, running: int, pending: int = 0, **given: Any) -> float:
        replicas = Replicas(requested=requested, observed=running, pending=pending)
        seen = observed(ready=5).model_copy(update={"replicas": replicas})
        return next_look(kept.model_copy(update=given), seen)

    assert wait(3, 2, pending=1) == LOOK_WHEN_EVEN
    assert wait(3, 2) == wait(4, 3) == wait(3, 4) == LOOK
    assert wait(3, 3, extra=1) == wait(3, 3, uneven_since=NOW) == LOOK
    assert wait(3, 3, drain_since=NOW) == DRAIN_TICK
