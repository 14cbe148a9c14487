"""The buckets of records.Histogram, and sums of them."""

from __future__ import annotations

import math
from typing import Dict, Iterable

from .records import Histogram

SMALLEST = 0.001
"""Upper end of bucket 0, in seconds."""
GROWTH = 1.25
"""Ratio of a bucket's upper end to that of the bucket below."""


def bucket_of(seconds: float) -> int:
    """The bucket that holds this duration."""
    if seconds <= SMALLEST:
        return 0
    return math.ceil(math.log(seconds / SMALLEST) / math.log(GROWTH))


def observed(histogram: Histogram, seconds: float, times: int = 1) -> Histogram:
    """The histogram with one duration more, counted ``times`` times."""
    bucket = bucket_of(seconds)
    buckets = dict(histogram.buckets)
    buckets[bucket] = buckets.get(bucket, 0) + times
    return Histogram(
        buckets=buckets,
        count=histogram.count + times,
        total=histogram.total + seconds * times,
        squares=histogram.squares + seconds * seconds * times,
        longest=max(histogram.longest, seconds),
    )


def merged(histograms: Iterable[Histogram]) -> Histogram:
    """All of them as one."""
    buckets: Dict[int, int] = {}
    count, total, squares, longest = 0, 0.0, 0.0, 0.0
    for histogram in histograms:
        for bucket, number in histogram.buckets.items():
            buckets[bucket] = buckets.get(bucket, 0) + number
        count += histogram.count
        total += histogram.total
        squares += histogram.squares
        longest = max(longest, histogram.longest)
    return Histogram(buckets, count, total, squares, longest)
