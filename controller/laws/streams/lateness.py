"""Which waits miss the target: the share of the items that are late after waiting so long for a replica."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from statistics import NormalDist

from asperathos_worker.queue.histogram import GROWTH, SMALLEST

_POINTS = 16
"""Steps of the wait for which the share is tabulated."""
_ENOUGH = 30
"""Items from which on their histogram tells more than a log-normal of the same mean and deviation."""
_LEAST = 1e-3
_NORMAL = NormalDist()


@dataclass(frozen=True)
class Lateness:
    """``limit``: the wait (s) beyond which every item is late. ``integral``: of the late share over the wait, at
    equally spaced waits from 0 to ``limit``: means over a range of waits are then two look-ups.
    """

    limit: float
    integral: tuple[float, ...]

    def mean(self, low: float, high: float) -> float:
        """The late share of items whose waits spread evenly from ``low`` to ``high`` seconds."""
        if low >= self.limit:
            return 1.0
        high = max(high, low + 1e-6 * self.limit)
        return (self._until(high) - self._until(low)) / (high - low)

    @property
    def unavoidable(self) -> float:
        """The share that is late without any wait: the work itself takes too long."""
        return self.mean(0.0, 0.0)

    def _until(self, wait: float) -> float:
        if wait >= self.limit:
            return self.integral[-1] + wait - self.limit
        place = wait / self.limit * _POINTS
        step = int(place)
        return self.integral[step] + (place - step) * (self.integral[step + 1] - self.integral[step])


def of_wait(limit: float) -> Lateness:
    """Late is who waits longer than ``limit`` seconds, however long the work then takes."""
    return Lateness(max(limit, _LEAST), (0.0,) * (_POINTS + 1))


def of_latency(latency: float, mean: float, deviation: float, buckets: Mapping[int, int]) -> Lateness:
    """Late is whose wait and service together take longer than ``latency`` seconds.

    ``buckets``: the service times seen, as the queue's histogram; while these are few, service times are taken for
    log-normal of that mean and deviation.
    """
    latency = max(latency, _LEAST)
    seen = sum(buckets.values())
    longer = _seen_longer(buckets, seen) if seen >= _ENOUGH else _log_normal_longer(mean, deviation)
    step = latency / _POINTS
    shares = [longer(latency - place * step) for place in range(_POINTS)] + [1.0]
    integral = [0.0]
    for before, after in pairwise(shares):
        integral.append(integral[-1] + step * (before + after) / 2)
    return Lateness(latency, tuple(integral))


def _seen_longer(buckets: Mapping[int, int], seen: int) -> Callable[[float], float]:
    """The share of the service times seen that exceed x, spread evenly on the logarithmic scale within a bucket."""
    places = sorted(buckets)
    below = [0]
    for place in places:
        below.append(below[-1] + buckets[place])

    def longer(seconds: float) -> float:
        if seconds <= SMALLEST:
            return 1.0
        position = math.log(seconds / SMALLEST) / math.log(GROWTH)
        bucket = math.ceil(position)
        index = bisect_right(places, bucket)
        under = float(below[index])
        if index and places[index - 1] == bucket:
            under -= buckets[bucket] * (bucket - position)
        return min(max(1.0 - under / seen, 0.0), 1.0)

    return longer


def _log_normal_longer(mean: float, deviation: float) -> Callable[[float], float]:
    mean = max(mean, _LEAST)
    variance = max(math.log1p(min(deviation / mean, 1e3) ** 2), 1e-6)
    middle = math.log(mean) - variance / 2

    def longer(seconds: float) -> float:
        return 1.0 if seconds <= 0 else 1.0 - _NORMAL.cdf((math.log(seconds) - middle) / math.sqrt(variance))

    return longer
