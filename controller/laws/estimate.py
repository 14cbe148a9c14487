"""What is known of the time an item takes, from finished and from still running items. Pure arithmetic, in seconds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

from common.domain.progress import ServiceTimes

_PRIOR_WEIGHT = 3.0
"""A hint from the user counts as so many finished items."""
_PRIOR_VARIATION = 0.7
"""Standard deviation over mean to assume while few items have finished."""
_ROUNDS = 3
_TAIL_RISK = 0.15
"""How probable it may be that an item outlasts what is taken for the longest."""
_LEAST = 1e-3
_NORMAL = NormalDist()


@dataclass(frozen=True)
class ItemTime:
    """The believed distribution of one item's service time.

    ``uncertainty`` is the standard error of ``mean``; ``longest`` the longest seen (or running).
    ``known`` is False while neither an item has finished nor a hint was given: then the mean is a lower bound.
    """

    mean: float
    deviation: float
    uncertainty: float
    longest: float
    known: bool

    def remaining(self, age: float) -> float:
        """Expected further time of an item that has been in work for ``age`` seconds."""
        floor = 0.5 * self.deviation
        if self.deviation > self.mean:
            # With a heavy tail, who has run long will run long.
            floor = max(floor, 0.25 * age)
        return max(self.mean - age, floor)

    def longest_of(self, items: float) -> float:
        """What the longest of so many items seldom exceeds, from a log-normal of this mean and deviation."""
        if items <= 0 or self.mean <= 0:
            return 0.0
        sigma_squared = math.log1p((self.deviation / self.mean) ** 2)
        share = min(1.0 - _TAIL_RISK / (items + 1.0), 1.0 - 1e-12)
        exponent = _NORMAL.inv_cdf(share) * math.sqrt(sigma_squared) - sigma_squared / 2
        return self.mean * math.exp(min(exponent, 50.0))


def item_time(service: ServiceTimes, expected: float | None, timeout: float | None) -> ItemTime | None:
    """The belief after these measurements; None when there is nothing at all to go by.

    Items that have run for longer than the mean raise it: their true time is at least their age. ``expected`` and
    ``timeout`` are the user's hints.
    """
    count = float(service.count)
    running = service.running
    oldest = running[0] if running else 0.0
    hint = expected
    if hint is not None and timeout is not None:
        hint = min(hint, timeout)
    weight = _PRIOR_WEIGHT if hint is not None else 0.0
    seen = count + weight
    if seen > 0:
        first, known = (count * service.mean + weight * (hint or 0.0)) / seen, True
    elif oldest > 0:
        first, known = 1.5 * sum(running) / len(running), False
    else:
        return None
    mean = first = max(first, _LEAST)
    spread = _spread(count, service.deviation, mean)
    for _ in range(_ROUNDS if known else 0):
        # Short items finish first, so the finished ones alone look too short. Those running are taken for what they
        # are expected to come to, by the belief of the round before.
        expectations = sum(max(mean, age + 0.5 * spread) for age in running)
        mean = (seen * first + expectations) / (seen + len(running))
        spread = _spread(count, service.deviation, mean)
    longest = max(service.longest, oldest)
    # An item that has run for a share of the mean tells about that share of what a finished one tells.
    told = seen + sum(min(1.0, age / mean) for age in running)
    return ItemTime(mean, spread, spread / math.sqrt(max(told, 1.0)), longest, known)


def _spread(count: float, deviation: float, mean: float) -> float:
    """The standard deviation to believe in: a guess at first, more and more what was measured."""
    guess = (_PRIOR_VARIATION * mean) ** 2 * _PRIOR_WEIGHT
    return math.sqrt((count * deviation**2 + guess) / (count + _PRIOR_WEIGHT))
