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
        """The median of the longest of so many items, from a log-normal of this mean and deviation."""
        if items <= 0 or self.mean <= 0:
            return 0.0
        sigma_squared = math.log1p((self.deviation / self.mean) ** 2)
        share = min(1.0 - 0.5 / (items + 1.0), 1.0 - 1e-12)
        exponent = _NORMAL.inv_cdf(share) * math.sqrt(sigma_squared) - sigma_squared / 2
        return self.mean * math.exp(min(exponent, 50.0))


def item_time(service: ServiceTimes, expected: float | None, timeout: float | None) -> ItemTime | None:
    """The belief after these measurements; None when there is nothing at all to go by.

    Items that have run for longer than the mean raise it: their true time is at least their age. ``expected`` and
    ``timeout`` are the user's hints.
    """
    count = float(service.count)
    oldest = service.running[0] if service.running else 0.0
    hint = expected
    if hint is not None and timeout is not None:
        hint = min(hint, timeout)
    weight = _PRIOR_WEIGHT if hint is not None else 0.0
    if count + weight > 0:
        mean = (count * service.mean + weight * (hint or 0.0)) / (count + weight)
        excess = sum(max(0.0, age - mean) for age in service.running)
        mean += excess / (count + weight + len(service.running))
        known = True
    elif oldest > 0:
        mean, known = 1.5 * sum(service.running) / len(service.running), False
    else:
        return None
    if mean <= 0:
        mean = 1e-3
    prior = (_PRIOR_VARIATION * mean) ** 2 * _PRIOR_WEIGHT
    spread = math.sqrt((count * service.deviation**2 + prior) / (count + _PRIOR_WEIGHT))
    longest = max(service.longest, oldest)
    return ItemTime(mean, spread, spread / math.sqrt(count + max(weight, 1.0)), longest, known)
