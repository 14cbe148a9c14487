"""What was held beside what was needed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manager.reporting.economy import Work, economy, needed_replicas, steps_of

WORK = Work(total=100.0, deadline=60.0, startup=10.0, durations=[(1.0, 100)])


def test_steps_last_until_the_next_measurement() -> None:
    rows = {
        "10": {"replicas": 3.0, "cost": 6.0},
        "0": {"replicas": 1.0, "cost": None},
        "2.500000": {"replicas": 2.0},
        "4": {"replicas": None},
    }
    assert steps_of(rows) == [(2.5, 1.0, 0.0), (7.5, 2.0, 0.0)]
    assert steps_of({}) == []


def test_the_account() -> None:
    held = [(10.0, 1.0, 3.0), (30.0, 4.0, 12.0)]
    account = economy(held, replica_seconds=130.0, price=3.0, work=WORK)
    assert account.money == pytest.approx((10 * 3 + 30 * 12) / 3600)
    assert (account.needed_replicas, account.needed_replica_seconds) == (2, 120.0)
    assert account.over == pytest.approx(130 / 120)
    assert account.excess == pytest.approx(60 / 130)


def test_what_is_not_known_is_none() -> None:
    account = economy([], 0.0, None, None)
    assert (account.money, account.work, account.over, account.excess) == (None, None, None, None)
    assert economy([], 5.0, 2.0, None).money == 0.0, "a price, and nothing measured: it cost nothing that is known"


@pytest.mark.parametrize(("deadline", "startup"), [(None, 0.0), (10.0, 10.0), (5.0, 10.0)])
def test_without_time_nothing_is_needed(deadline: float | None, startup: float) -> None:
    assert needed_replicas(Work(100.0, deadline, startup, [])) is None


def test_items_longer_than_half_the_time_have_a_replica_each() -> None:
    assert needed_replicas(Work(120.0, 60.0, 10.0, [(30.0, 4)])) == 4
    assert needed_replicas(Work(100.0, 60.0, 10.0, [(25.0, 4)])) == 2


@given(st.floats(0.1, 1e6), st.floats(1.0, 1e5), st.floats(0.0, 100.0))
def test_more_time_never_needs_more(total: float, deadline: float, more: float) -> None:
    short = needed_replicas(Work(total, deadline, 0.5, [(1.0, total)]))
    long = needed_replicas(Work(total, deadline + more, 0.5, [(1.0, total)]))
    assert short is not None and long is not None
    assert 1 <= long <= short
