"""What earlier submissions taught."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.domain.history import History, learned
from common.domain.progress import Observation, ServiceTimes


def last(count: int = 10, mean: float = 5.0, **given: object) -> Observation:
    service = ServiceTimes(count=count, mean=mean, deviation=1.0, longest=2 * mean, buckets={30: count})
    return Observation.model_validate({"submission": "x", "at": 1.0, "elapsed": 1.0, "service": service, **given})


def test_the_first_one_is_taken_as_it_is() -> None:
    history = learned(None, last(attempts=12, failures=2, startup=3.0))
    assert (history.submissions, history.service.count, history.attempts, history.failures) == (1, 10, 12, 2)
    assert history.service.mean == pytest.approx(5.0)
    assert history.service.deviation == pytest.approx(1.0)
    assert history.startup == 3.0


def test_two_are_merged_with_all_their_items() -> None:
    history = learned(learned(None, last(10, 5.0)), last(30, 9.0))
    assert history.service.count == 40
    assert history.service.mean == pytest.approx(8.0)
    assert history.service.longest == 18.0
    assert history.service.buckets == {30: 40}


def test_what_is_old_fades() -> None:
    history = learned(learned(None, last(100_000, 5.0)), last(1000, 9.0))
    assert history.service.count == 2000
    assert history.service.mean == pytest.approx(7.0)


def test_one_that_finished_nothing_teaches_nothing() -> None:
    before = learned(None, last())
    assert learned(before, last(0, 0.0)) == before
    assert learned(None, last(0, 0.0)) == History()


@given(st.lists(st.tuples(st.integers(0, 5000), st.floats(0.001, 1e5)), max_size=6))
def test_it_stays_bounded_and_readable(submissions: list[tuple[int, float]]) -> None:
    history, most = None, 1000
    for count, mean in submissions:
        history = learned(history, last(count, mean))
        most = max(most, count)
        assert history.service.count <= 2 * most
        assert History.model_validate_json(history.model_dump_json()) == history
