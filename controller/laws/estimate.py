"""What is believed of the time an item takes, from finished items, running ones, hints and history. Pure; seconds.

The body is the product-limit estimate of Kaplan and Meier on the buckets of the queue's histogram, smoothed by a
log-normal of small weight (the posterior mean of a beta process, Hjort 1990): running items count as survivors of the
time they have taken so far. Beyond the largest few the survival falls as a Pareto tail whose exponent is
gamma-distributed (prior from the spread, updated by how far the largest few reach): P(X > x) = P(X > u) *
(1 + ln(x / u) / b) ** -a. So what was never seen keeps about the chance 1 / n.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from asperathos_worker.queue.histogram import GROWTH, SMALLEST

from common.domain.history import History
from common.domain.progress import ServiceTimes

_STEP = math.log(GROWTH)
_PRIOR_SPREAD, _PRIOR_SPREAD_WEIGHT = 0.8, 3.0
"""Standard deviation of the logarithm of item times before any is known, and how many items that is worth."""
_BODY_WEIGHT = 1.5
"""Items that the smoothing log-normal is worth."""
_HINT_WEIGHT = 3.0
"""Items that the user's expected item time is worth."""
_MOST_HISTORY = 100.0
"""Items that the history is worth at most: this pile may differ from earlier ones."""
_TAIL_SHAPE, _TAIL_SPREAD = 2.0, 0.45
"""Prior of the tail: worth so many items, its mean exceedance on the log scale this share of the spread."""
_TAIL_SHARE = 0.16
"""The tail is at most this share of the items, and about 4 + sqrt(n) of n."""
_POSSIBLE = 0.25
"""A deadline is given for work that can be done: of all items about so many are expected to outlast it."""
_ROOM = 2.0 / 3.0
"""... and leaves room: no item is taken to need more than this share of it, unless one is known that does."""
_AT_TIMEOUT, _TIMEOUT_WIDTH = 1.2, 0.4
"""About so many items of the pile are expected to take nearly their timeout, within this width (log scale); the fewer
the farther it is from all that is known."""
_FAR = 60.0
"""The distribution is kept up to so many times the longest item."""
_MEAN_CAP = 3.0
"""Items longer than so many times the longest known one are left out of the mean."""
_CENSORED_VARIATION = 0.6
"""A running item older than the mean is expected to take this share of the mean more."""
_LEAST = 1e-6


@dataclass(frozen=True)
class ItemTime:
    """The believed distribution of one item's service time on a grid of ``edges`` (seconds, rising from 0).

    ``survival[i]`` is P(X > edges[i]) and ``area[i]`` its integral up to there; ``likely`` and ``likely_area`` are the
    same given that the deadline is possible; ``falling`` and ``falling_area`` those of the least non-increasing density
    above that: the chance of a window of fixed length then never grows as the window moves out. ``mean`` and
    ``deviation`` do not depend on the deadline. ``weight`` counts the items that are behind all this; ``longest`` is
    the longest known, running ones included. ``bound``: what no item is taken to outlast.
    """

    edges: tuple[float, ...]
    survival: tuple[float, ...]
    area: tuple[float, ...]
    likely: tuple[float, ...]
    likely_area: tuple[float, ...]
    falling: tuple[float, ...]
    falling_area: tuple[float, ...]
    mean: float
    deviation: float
    weight: float
    longest: float
    bound: float = math.inf

    @property
    def variation(self) -> float:
        """Coefficient of variation."""
        return self.deviation / self.mean

    def outlasts(self, seconds: float) -> float:
        """The probability that an item takes longer, given that the deadline is possible."""
        return _value(self.edges, self.likely, self.likely_area, seconds)[0]

    def capped(self, seconds: float) -> float:
        """The mean of an item's time cut at ``seconds``, given that the deadline is possible."""
        return _value(self.edges, self.likely, self.likely_area, seconds)[1]

    def remaining(self, age: float, most: float) -> float:
        """Expected further time, cut at ``most``, of an item in work for ``age`` seconds."""
        survival, area = _value(self.edges, self.survival, self.area, age)
        if survival <= 1e-9:
            return min(most, 0.1 * age + _LEAST)
        return (_value(self.edges, self.survival, self.area, age + most)[1] - area) / survival

    def outlasts_from(self, age: float, seconds: float) -> float:
        """The probability that an item in work for ``age`` takes ``seconds`` more."""
        survival = self.outlasts(age)
        if survival <= 1e-9:
            return 1.0 if seconds < 0.1 * age else 0.0
        return min(1.0, self.outlasts(age + seconds) / survival)

    def exposure(self, most: float) -> Callable[[float], float]:
        """The integral of P(x < X < most) over x from a time to ``most`` (seconds), by the falling density: what items
        that could end within ``most`` risk by starting late, added up over their starts."""
        at_most, until_most = _value(self.edges, self.falling, self.falling_area, most)

        def exposed(time: float) -> float:
            if time >= most:
                return 0.0
            until = _value(self.edges, self.falling, self.falling_area, time)[1]
            return max(0.0, until_most - until - at_most * (most - time))

        return exposed


def _value(
    edges: tuple[float, ...], survival: tuple[float, ...], area: tuple[float, ...], x: float
) -> tuple[float, float]:
    """Survival and its integral at x, linear between edges."""
    if x <= 0:
        return survival[0], x * survival[0]
    if x >= edges[-1]:
        return survival[-1], area[-1] + (x - edges[-1]) * survival[-1]
    i = bisect_right(edges, x) - 1
    share = (x - edges[i]) / (edges[i + 1] - edges[i])
    at = survival[i] + share * (survival[i + 1] - survival[i])
    return at, area[i] + (x - edges[i]) * 0.5 * (survival[i] + at)


@dataclass(frozen=True)
class _Evidence:
    """Everything known: finished items by bucket, their weight and sum, a base of so much weight, running ages."""

    buckets: dict[int, float]
    weight: float
    total: float
    longest: float
    mean: float
    log_mean: float
    """Of the smoothing log-normal, in buckets' units (ln of milliseconds)."""
    spread: float
    base_weight: float
    remembered: float
    """Items that the history is worth."""
    running: tuple[float, ...]


def item_time(
    service: ServiceTimes,
    expected: float | None = None,
    timeout: float | None = None,
    history: History | None = None,
    possible: float | None = None,
    items: int = 0,
) -> ItemTime | None:
    """The belief after these measurements; None when no item has finished and no hint or history was given.

    ``expected`` and ``timeout`` are the user's hints. ``possible``: seconds within which each of the ``items`` can be
    done if the deadline can be met at all.
    """
    seen = _evidence(service, expected, timeout, history)
    if seen is None:
        return None
    low, size = _grid(seen, timeout)
    ages = [_position(age) - low + 1 for age in seen.running]
    body, finished = _body(seen, low, size, ages)
    edges = [0.0] + [SMALLEST * GROWTH ** (low + i - 1) for i in range(1, size + 1)]
    survival, likely = _with_tail(seen, body, finished, ages, low, possible, items)
    if timeout is not None:
        edges[-1] = max(min(edges[-1], timeout), edges[-2] * (1.0 + 1e-6))
        for values in (survival, likely):
            _with_timeout(values, seen, timeout, items, low)
    bound = math.inf if possible is None else max(_ROOM * possible, seen.longest)
    return _made(edges, survival, likely, seen, bound)


def _evidence(
    service: ServiceTimes, expected: float | None, timeout: float | None, history: History | None
) -> _Evidence | None:
    buckets: dict[int, float] = {bucket: float(number) for bucket, number in service.buckets.items()}
    own = sum(buckets.values())
    bare = float(service.count) if not buckets else 0.0
    weight, total, longest = own + bare, (own + bare) * service.mean, service.longest
    worth = 0.0
    if history is not None and history.service.count > 0:
        old = history.service
        kept = sum(old.buckets.values())
        worth = min(float(old.count), _MOST_HISTORY)
        for bucket, number in old.buckets.items():
            buckets[bucket] = buckets.get(bucket, 0.0) + worth * number / kept
        if not kept:
            bare += worth
        weight, total, longest = weight + worth, total + worth * old.mean, max(longest, old.longest)
    hint = expected if expected is None or timeout is None else min(expected, timeout)
    hinted = _HINT_WEIGHT if hint is not None else 0.0
    if weight + hinted <= 0:
        return None
    start = (total + hinted * (hint or 0.0)) / (weight + hinted)
    mean = start = max(start, _LEAST)
    count = weight + hinted
    for _ in range(4):
        # Short items finish first, so the finished ones alone look too short: those running are taken for what they
        # are expected to come to, by the belief of the round before.
        came = sum(max(mean, age + _CENSORED_VARIATION * mean) for age in service.running)
        mean = (count * start + came) / (count + len(service.running))
    spread = _spread(buckets, service if bare else None)
    return _Evidence(
        buckets=buckets,
        weight=weight,
        total=total,
        longest=max([longest, *service.running[:1]]),
        mean=mean,
        log_mean=math.log(mean / SMALLEST) - 0.5 * spread * spread,
        spread=spread,
        base_weight=_BODY_WEIGHT + hinted + bare,
        remembered=worth,
        running=service.running,
    )


def _spread(buckets: dict[int, float], bare: ServiceTimes | None) -> float:
    """Standard deviation of the logarithm of the item times, drawn towards the prior's."""
    weight = sum(buckets.values())
    first = sum(number * bucket for bucket, number in buckets.items())
    second = sum(number * bucket * bucket for bucket, number in buckets.items())
    squares = max(0.0, second - first * first / weight) * _STEP**2 if weight else 0.0
    if bare is not None and bare.mean > 0:
        weight += bare.count
        squares += bare.count * math.log1p(min(bare.deviation / bare.mean, 1e3) ** 2)
    squares += _PRIOR_SPREAD**2 * _PRIOR_SPREAD_WEIGHT
    return math.sqrt(squares / (weight + _PRIOR_SPREAD_WEIGHT))


def _position(seconds: float) -> float:
    """Where on the scale of buckets this duration lies."""
    return math.log(max(seconds, 1e-9) / SMALLEST) / _STEP


def _grid(seen: _Evidence, timeout: float | None) -> tuple[int, int]:
    """First bucket and number of buckets."""
    low = int(min([(seen.log_mean - 4.0 * seen.spread) / _STEP, *seen.buckets])) - 1
    low = max(low, -8)
    far = max(seen.longest, seen.mean) * _FAR
    if timeout is not None:
        far = min(far, timeout)
    high = max(low + 3, math.ceil(_position(far)))
    return low, min(high, 200) - low + 1


def _body(seen: _Evidence, low: int, size: int, ages: Sequence[float]) -> tuple[list[float], list[float]]:
    """Survival at the edges, and the finished items by bucket."""
    running = [0.0] * (size + 1)
    for age in ages:
        whole = max(0, min(int(age), size))
        part = age - whole if 0 < whole < size or 0 < age < 1 else 0.0
        # An item whose age lies within a bucket has survived that share of it.
        if whole:
            running[whole - 1] += 1.0 - part
        running[whole] += part
    finished = [seen.buckets.get(low + i, 0.0) for i in range(size)]
    # What lies beyond the grid (above the timeout) counts in its last bucket.
    finished[-1] += sum(number for bucket, number in seen.buckets.items() if bucket >= low + size)
    later = [0.0] * (size + 1)
    alive = [0.0] * (size + 1)
    for i in range(size - 1, -1, -1):
        later[i] = later[i + 1] + finished[i]
        alive[i] = alive[i + 1] + running[i]
    survival = [1.0] * (size + 1)
    base, left = 1.0, 1.0
    scale = 1.0 / (seen.spread * math.sqrt(2.0))
    for i in range(size):
        next_base = 0.5 * math.erfc(((low + i) * _STEP - seen.log_mean) * scale)
        ended = seen.base_weight * max(base - next_base, 0.0) + finished[i]
        at_risk = seen.base_weight * base + later[i] + alive[i]
        left *= 1.0 - min(1.0, ended / at_risk) if at_risk > 1e-12 else 0.0
        survival[i + 1] = left
        base = next_base
    return survival, finished


def _with_tail(
    seen: _Evidence,
    body: list[float],
    finished: list[float],
    ages: Sequence[float],
    low: int,
    possible: float | None,
    items: int,
) -> tuple[list[float], list[float]]:
    """The survival with its Pareto tail, and the same given that the deadline is possible."""
    size = len(finished)
    known = seen.weight + len(seen.running) + seen.base_weight
    share = min(_TAIL_SHARE, (4.0 + math.sqrt(known)) / (known + 1.0))
    begin = next((i for i in range(size - 1) if body[i] <= share), size - 1)
    shape = _TAIL_SHAPE + sum(finished[begin:])
    reach = _TAIL_SHAPE * _TAIL_SPREAD * seen.spread
    reach += sum(number * (i + 0.5) * _STEP for i, number in enumerate(finished[begin:]))
    reach += sum((age - begin) * _STEP for age in ages if age > begin)
    reach = max(reach, 1e-3)
    likely_reach = reach
    if possible is not None and items > 0 and body[begin] > _POSSIBLE / items:
        distance = (_position(possible) - (low + begin - 1)) * _STEP
        if distance > 0:
            stretch = (body[begin] * items / _POSSIBLE) ** (1.0 / shape) - 1.0
            likely_reach = max(min(reach, distance / stretch), 1e-3)

    def tail(reach: float) -> list[float]:
        return [body[begin] * (1.0 + i * _STEP / reach) ** -shape for i in range(1, size - begin + 1)]

    head = body[: begin + 1]
    return head + tail(reach), head + tail(likely_reach)


def _with_timeout(values: list[float], seen: _Evidence, timeout: float, items: int, low: int) -> None:
    """Whoever gives a timeout knows of items that nearly take it; nothing takes longer."""
    if items > 0:
        near = math.sqrt(min(1.0, 2.0 * max(seen.longest, seen.mean) / timeout))
        # A history tells of long items by itself.
        chance = min(0.5, _AT_TIMEOUT / (1.0 + seen.remembered / _MOST_HISTORY) / items * near)
        end, width = _position(timeout), _TIMEOUT_WIDTH / _STEP
        for i in range(1, len(values)):
            reached = min(1.0, max(0.0, (end - (low + i - 1)) / width))
            values[i] = (1.0 - chance) * values[i] + chance * reached
    values[-1] = 0.0


def _made(edges: list[float], survival: list[float], likely: list[float], seen: _Evidence, bound: float) -> ItemTime:
    size = len(edges) - 1
    area = _integral(edges, survival)
    cap = _MEAN_CAP * max(seen.longest, seen.mean)
    last = max(1, bisect_right(edges, cap) - 1)
    mean = max(area[last], _LEAST)
    squares = sum(
        (edges[i] - edges[i - 1]) * (survival[i - 1] * edges[i - 1] + survival[i] * edges[i])
        for i in range(1, last + 1)
    )
    falling = [0.0] * (size + 1)
    falling[size] = chance = likely[size]
    density = 0.0
    for i in range(size, 0, -1):
        width = edges[i] - edges[i - 1]
        density = max(density, (likely[i - 1] - likely[i]) / width)
        chance += density * width
        falling[i - 1] = chance
    return ItemTime(
        tuple(edges),
        tuple(survival),
        tuple(area),
        tuple(likely),
        tuple(_integral(edges, likely)),
        tuple(falling),
        tuple(_integral(edges, falling)),
        mean * _rounding(seen),
        math.sqrt(max(0.0, squares - mean * mean)),
        seen.weight + seen.base_weight - _BODY_WEIGHT,
        seen.longest,
        bound,
    )


def _integral(edges: list[float], values: list[float]) -> list[float]:
    area = [0.0] * len(edges)
    for i in range(1, len(edges)):
        area[i] = area[i - 1] + (edges[i] - edges[i - 1]) * 0.5 * (values[i - 1] + values[i])
    return area


def _rounding(seen: _Evidence) -> float:
    """The exact mean of the finished items over that of their buckets."""
    binned = sum(n * SMALLEST * GROWTH**b * 0.5 * (1.0 + 1.0 / GROWTH) for b, n in seen.buckets.items())
    weight = sum(seen.buckets.values())
    if not weight or binned <= 0 or seen.total <= 0 or seen.weight > weight * 1.001:
        return 1.0
    return min(max(seen.total / binned, 0.88), 1.13)
