"""How durations are spread: mean, quantiles and a histogram. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from asperathos_worker.queue.histogram import GROWTH, SMALLEST

_BINS = 24
_PARTS = 8
_FAR = 3.0
"""What lies beyond so many times the 95th percentile is counted in the last bin instead of stretching the others."""

Weighted = tuple[float, float]
"""A duration (s) and how often there is such a one."""


@dataclass(frozen=True)
class Bin:
    """Durations up to ``until`` (s) and above the bin before; the last bin has all beyond it too."""

    until: float
    share: float


@dataclass(frozen=True)
class Spread:
    """Durations in seconds; ``share`` of the bins add up to 1."""

    count: int
    mean: float
    p50: float
    p90: float
    p95: float
    p99: float
    longest: float
    bins: tuple[Bin, ...]


def spread_of(durations: Iterable[Weighted]) -> Spread | None:
    """Their spread; None of none. Quantiles are by nearest rank: values that occur."""
    known = sorted((seconds, times) for seconds, times in durations if times > 0 and math.isfinite(seconds))
    total = math.fsum(times for _, times in known)
    if not known:
        return None
    p50, p90, p95, p99 = _quantiles(known, total, (0.5, 0.9, 0.95, 0.99))
    return Spread(
        count=round(total),
        mean=math.fsum(seconds * times for seconds, times in known) / total,
        p50=p50,
        p90=p90,
        p95=p95,
        p99=p99,
        longest=known[-1][0],
        bins=_bins(known, total, min(known[-1][0], _FAR * p95) or known[-1][0]),
    )


def of_buckets(buckets: Mapping[int, int], longest: float = math.inf) -> list[Weighted]:
    """The durations in a histogram of the queue, those of a bucket spread evenly over it; none above ``longest``."""
    found: list[Weighted] = []
    for bucket, times in buckets.items():
        top = SMALLEST * GROWTH**bucket
        width = top - (top / GROWTH if bucket else 0.0)
        for part in range(_PARTS):
            found.append((min(longest, top - width * (part + 0.5) / _PARTS), times / _PARTS))
    return found


def _quantiles(known: Sequence[Weighted], total: float, shares: Sequence[float]) -> list[float]:
    found: list[float] = []
    below = 0.0
    for seconds, times in known:
        below += times
        while len(found) < len(shares) and below >= shares[len(found)] * total * (1 - 1e-12):
            found.append(seconds)
    return found + [known[-1][0]] * (len(shares) - len(found))


def _bins(known: Sequence[Weighted], total: float, top: float) -> tuple[Bin, ...]:
    width = top / _BINS
    if width <= 0:
        return (Bin(known[-1][0], 1.0),)
    counts = [0.0] * _BINS
    for seconds, times in known:
        counts[min(_BINS - 1, max(0, math.ceil(min(seconds, top) / width) - 1))] += times
    return tuple(Bin(width * (place + 1), number / total) for place, number in enumerate(counts))
