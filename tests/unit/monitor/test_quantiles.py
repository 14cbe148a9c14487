from __future__ import annotations

from asperathos_worker.queue.histogram import merged, observed
from asperathos_worker.queue.records import Histogram
from hypothesis import given
from hypothesis import strategies as st

from monitor.quantiles import deviation, mean, quantile, since

_DURATIONS = st.lists(st.floats(0.0005, 1e5), min_size=1, max_size=60)


def _histogram(durations: list[float]) -> Histogram:
    histogram = Histogram()
    for seconds in durations:
        histogram = observed(histogram, seconds)
    return histogram


@given(_DURATIONS, st.floats(0.01, 1.0))
def test_a_quantile_is_off_by_at_most_a_bucket(durations: list[float], share: float) -> None:
    ordered = sorted(durations)
    exact = ordered[min(len(ordered) - 1, max(0, -int(-share * len(ordered) // 1) - 1))]
    told = quantile(_histogram(durations), share)
    assert exact / 1.2501 <= told <= exact * 1.2501 or exact <= 0.001


@given(_DURATIONS)
def test_quantiles_grow_with_the_share_up_to_the_longest(durations: list[float]) -> None:
    histogram = _histogram(durations)
    told = [quantile(histogram, share / 20) for share in range(21)]
    assert told == sorted(told)
    assert told[-1] <= max(durations)


def test_of_nothing_all_is_zero() -> None:
    assert quantile(Histogram(), 0.5) == mean(Histogram()) == deviation(Histogram()) == 0.0


def test_one_duration_has_no_deviation() -> None:
    assert deviation(_histogram([3.0])) == 0.0


@given(_DURATIONS, _DURATIONS)
def test_since_takes_the_earlier_ones_away(before: list[float], after: list[float]) -> None:
    earlier, later = _histogram(before), _histogram(after)
    assert since(merged([earlier, later]), earlier.buckets).buckets == later.buckets
