"""Durations as mean, quantiles and bins."""

from __future__ import annotations

import pytest
from asperathos_worker.queue.histogram import bucket_of
from hypothesis import example, given
from hypothesis import strategies as st

from manager.reporting.spreads import of_buckets, spread_of

DURATIONS = st.lists(st.tuples(st.floats(0, 1e6), st.integers(1, 1000)), min_size=1, max_size=50)


def test_of_nothing_there_is_none() -> None:
    assert spread_of([]) is None
    assert spread_of([(1.0, 0), (float("nan"), 3)]) is None


def test_quantiles_are_values_that_occur() -> None:
    spread = spread_of((float(number), 1) for number in range(1, 101))
    assert spread is not None
    assert (spread.p50, spread.p90, spread.p95, spread.p99, spread.longest) == (50, 90, 95, 99, 100)
    assert (spread.count, spread.mean) == (100, pytest.approx(50.5))


def test_a_far_value_does_not_flatten_the_others() -> None:
    spread = spread_of([(1.0, 50), (2.0, 50), (1000.0, 1)])
    assert spread is not None
    assert spread.bins[-1].until == pytest.approx(6.0)
    assert spread.bins[-1].share == pytest.approx(1 / 101)


@given(DURATIONS)
@example([(3e-323, 40), (1.2e6, 1)])
def test_the_laws_of_a_spread(durations: list[tuple[float, int]]) -> None:
    spread = spread_of(durations)
    assert spread is not None
    values = [seconds for seconds, _ in durations]
    assert min(values) <= spread.p50 <= spread.p90 <= spread.p95 <= spread.p99 <= spread.longest == max(values)
    assert min(values) - 1e-9 <= spread.mean <= max(values) * (1 + 1e-9)
    assert sum(each.share for each in spread.bins) == pytest.approx(1.0)
    assert list(spread.bins) == sorted(spread.bins, key=lambda each: each.until)


@given(st.lists(st.floats(0.002, 1e5), min_size=1, max_size=50))
def test_a_histogram_of_the_queue_is_about_right(durations: list[float]) -> None:
    buckets: dict[int, int] = {}
    for seconds in durations:
        buckets[bucket_of(seconds)] = buckets.get(bucket_of(seconds), 0) + 1
    exact, about = spread_of((one, 1) for one in durations), spread_of(of_buckets(buckets, max(durations)))
    assert exact is not None and about is not None
    assert about.count == exact.count
    assert about.longest <= exact.longest
    for name in ("mean", "p50", "p90"):
        assert getattr(exact, name) / 1.26 <= getattr(about, name) <= getattr(exact, name) * 1.26
