from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.record import Tally
from monitor.tally import counted, with_total
from tests.unit.monitor.builders import observation


def test_replicas_are_integrated_over_time() -> None:
    tally = Tally()
    seen = [observation(1000.0, 2), observation(1002.0, 2), observation(1004.0, 4), observation(1004.0, 9)]
    previous = None
    for each in seen:
        tally = counted(tally, previous, each)
        previous = each
    assert tally.replica_seconds == pytest.approx(2 * 2 + 3 * 2)
    assert tally.peak_replicas == 9
    assert tally.measurements == 4


def test_a_long_pause_counts_once() -> None:
    first = observation(1000.0, 4)
    tally = counted(Tally(), None, first)
    assert counted(tally, first, observation(1600.0, 2)).replica_seconds == pytest.approx(1800.0)


def test_money_is_spent_while_replicas_run() -> None:
    first, second = (observation(at, 2, price=9.0) for at in (1000.0, 1400.0))
    tally = counted(Tally(), None, first)
    assert tally.spent == 0.0
    assert counted(tally, first, second).spent == pytest.approx(2.0)


def test_without_a_price_nothing_is_said_to_be_spent() -> None:
    first, second = observation(1000.0), observation(1400.0)
    assert counted(counted(Tally(), None, first), first, second).spent is None


def test_errors_are_none_without_a_deadline() -> None:
    tally = counted(Tally(), None, observation(1000.0, deadline=None))
    assert tally.final_error is tally.max_error is tally.min_error is None


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_extremes_are_measured_ones_and_the_final_error_is_the_last(progress: list[float]) -> None:
    seen = [observation(1000.0 + index, progress=share) for index, share in enumerate(progress)]
    tally = Tally()
    previous = None
    for each in seen:
        tally = counted(tally, previous, each)
        previous = each
    errors = [(each.error, each.at) for each in seen]
    assert tally.final_error == errors[-1]
    assert tally.max_error in errors and tally.max_error[0] == max(error for error, _ in errors)
    assert tally.min_error in errors and tally.min_error[0] == min(error for error, _ in errors)
    assert max(tally.max_error[1], tally.min_error[1]) <= tally.final_error[1]


def test_money_goes_by_the_price_of_its_time() -> None:
    seen = [observation(1000.0, 2).model_copy(update={"price": price}) for price in (None, None, 3600.0, 7200.0, None)]
    seen = [each.model_copy(update={"at": 1000.0 + number}) for number, each in enumerate(seen)]
    tally, previous, spent = Tally(), None, []
    for each in seen:
        tally = counted(tally, previous, each)
        spent.append(tally.spent)
        previous = each
    assert spent == [None, None, pytest.approx(2.0 + 2.0), pytest.approx(4.0 + 4.0), pytest.approx(8.0)]
    told = with_total(seen[-1], tally)
    assert (told.replica_seconds, told.spent) == (pytest.approx(8.0), pytest.approx(8.0))
