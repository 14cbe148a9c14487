from __future__ import annotations

from asperathos_worker.pace import HORIZON, MOST, POLL, Backoff, Pace
from hypothesis import given
from hypothesis import strategies as st

SECONDS = st.floats(0, 1e6, allow_nan=False)


def paced(each: float, rounds: int = 40) -> Pace:
    pace = Pace()
    for _ in range(rounds):
        pace = pace.observed(each * pace.quantity, pace.quantity)
    return pace


def test_short_items_are_taken_in_growing_numbers() -> None:
    assert Pace().quantity == 1
    assert Pace().observed(0.0, 1).quantity == 2
    assert paced(0.0).quantity == MOST


def test_long_items_are_taken_one_by_one() -> None:
    assert paced(HORIZON).quantity == 1
    assert paced(3600).quantity == 1


def test_one_slow_round_is_enough_to_take_less() -> None:
    pace = paced(0.001)
    assert pace.quantity == 100
    assert pace.observed(60.0, 10).quantity == 1


def test_the_users_bound_holds() -> None:
    assert Pace().observed(0.0, 1, most=1).quantity == 1


@given(st.lists(st.tuples(SECONDS, st.integers(1, MOST)), max_size=50))
def test_what_is_taken_at_once_is_a_horizon_of_the_estimate_or_one_item(rounds: list[tuple[float, int]]) -> None:
    pace = Pace()
    for seconds, items in rounds:
        before = pace.quantity
        pace = pace.observed(seconds, items)
        assert 1 <= pace.quantity <= min(MOST, 2 * before)
        assert pace.quantity * (pace.service or 0) <= HORIZON * 1.001 or pace.quantity == 1


@given(st.integers(0, 10**9))
def test_waits_grow_up_to_their_cap(attempt: int) -> None:
    assert POLL.first <= POLL.wait(attempt) <= POLL.cap
    assert POLL.wait(attempt) <= POLL.wait(attempt + 1)


def test_backoff() -> None:
    assert [Backoff(1, 10).wait(n) for n in range(6)] == [1, 2, 4, 8, 10, 10]
