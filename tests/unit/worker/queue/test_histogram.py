from __future__ import annotations

import math

import pytest
from asperathos_worker.queue.histogram import GROWTH, SMALLEST, bucket_of, merged, observed
from asperathos_worker.queue.records import Histogram
from hypothesis import given
from hypothesis import strategies as st

durations = st.floats(min_value=0, max_value=1e7)


@given(durations)
def test_a_bucket_holds_what_lies_between_its_ends(seconds: float) -> None:
    bucket = bucket_of(seconds)
    upper = SMALLEST * GROWTH**bucket
    assert seconds <= upper * (1 + 1e-9)
    if bucket > 0:
        assert seconds > upper / GROWTH * (1 - 1e-9)


@pytest.mark.parametrize(("seconds", "bucket"), [(0.0, 0), (0.001, 0), (0.0011, 1), (0.00126, 2), (1.0, 31)])
def test_known_buckets(seconds: float, bucket: int) -> None:
    assert bucket_of(seconds) == bucket


@given(st.lists(durations, max_size=20), st.lists(durations, max_size=20))
def test_merging_is_observing_together(first: list[float], second: list[float]) -> None:
    def of(values: list[float]) -> Histogram:
        histogram = Histogram()
        for value in values:
            histogram = observed(histogram, value)
        return histogram

    together, summed = of(first + second), merged([of(first), of(second)])
    assert (summed.buckets, summed.count, summed.longest) == (together.buckets, together.count, together.longest)
    assert math.isclose(summed.total, together.total, rel_tol=1e-9)
    assert math.isclose(summed.squares, together.squares, rel_tol=1e-9)
