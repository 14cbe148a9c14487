"""Quantiles of the queue's histograms of durations."""

from __future__ import annotations

import math

from asperathos_worker.queue.histogram import GROWTH, SMALLEST
from asperathos_worker.queue.records import Histogram


def quantile(histogram: Histogram, share: float) -> float:
    """The duration (s) that ``share`` (0 to 1) of the observed ones do not exceed; 0 when there are none.

    Inside a bucket durations are taken to spread evenly on the logarithmic scale, so that the error stays below the
    width of a bucket, a quarter of the value.
    """
    rank = share * sum(histogram.buckets.values())
    if rank <= 0:
        return 0.0
    below = 0
    value = 0.0
    for bucket, number in sorted(histogram.buckets.items()):
        if number <= 0:
            continue
        if below + number >= rank:
            value = _inside(bucket, (rank - below) / number)
            break
        below += number
        value = _inside(bucket, 1.0)
    return min(value, histogram.longest) if histogram.longest > 0 else value


def deviation(histogram: Histogram) -> float:
    """The standard deviation (s) of the observed durations; 0 when there are fewer than two."""
    if histogram.count < 2:
        return 0.0
    mean = histogram.total / histogram.count
    return math.sqrt(max(0.0, histogram.squares / histogram.count - mean * mean))


def mean(histogram: Histogram) -> float:
    """The mean (s) of the observed durations; 0 when there are none."""
    return histogram.total / histogram.count if histogram.count else 0.0


def since(now: Histogram, before: dict[int, int]) -> Histogram:
    """What ``now`` holds beyond the buckets of ``before``, for quantiles only: its sums are not known."""
    buckets = {bucket: number - before.get(bucket, 0) for bucket, number in now.buckets.items()}
    return Histogram(buckets={bucket: number for bucket, number in buckets.items() if number > 0}, longest=now.longest)


def _inside(bucket: int, share: float) -> float:
    top = SMALLEST * GROWTH**bucket
    return top * share if bucket == 0 else top / GROWTH ** (1.0 - share)
