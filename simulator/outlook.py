"""What many runs of one submission under one law come to. Durations in seconds."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from simulator.run import Run


@dataclass(frozen=True)
class Spread:
    """Quantiles; infinite where too many runs did not finish."""

    p10: float
    p50: float
    p90: float


@dataclass(frozen=True)
class Outlook:
    """``chance``: share of the runs that met their deadline or, for a stream, kept its target; None without either."""

    name: str
    law: str
    runs: int
    finish: Spread
    unfinished: int
    """Runs that had not finished when they were given up."""
    chance: float | None
    within: float | None
    """Share of a stream's items whose wait and service together were within the target."""
    replica_hours: Spread
    peak: Spread
    scalings: Spread
    work_hours: float
    """Replica-hours that the items themselves need, on average."""
    dead: float
    """Items given up after too many failures, on average."""
    money: Spread | None = None
    """What the replica-hours cost; None where the document tells no fixed price."""


def outlook(name: str, law: str, runs: Sequence[Run], latency: float | None, percentile: float) -> Outlook:
    """The outlook from these runs (at least one); ``latency`` (s) and ``percentile`` are a stream's target."""
    shares = [] if latency is None else [_within(run, latency) for run in runs]
    if latency is not None:
        chance: float | None = statistics.fmean(share >= percentile / 100 for share in shares)
    elif runs[0].deadline is not None:
        chance = statistics.fmean(bool(run.met) for run in runs)
    else:
        chance = None
    return Outlook(
        name=name,
        law=law,
        runs=len(runs),
        finish=_spread([math.inf if run.finished is None else run.finished for run in runs]),
        unfinished=sum(run.finished is None for run in runs),
        chance=chance,
        within=statistics.fmean(shares) if shares else None,
        replica_hours=_spread([run.replica_seconds / 3600.0 for run in runs]),
        peak=_spread([float(run.peak) for run in runs]),
        scalings=_spread([float(run.scalings) for run in runs]),
        work_hours=statistics.fmean(run.work for run in runs) / 3600.0,
        dead=statistics.fmean(run.dead for run in runs),
        money=_spread([run.money or 0.0 for run in runs]) if runs[0].price is not None else None,
    )


def _within(run: Run, latency: float) -> float:
    """An item that was not finished was not finished in time."""
    return sum(seconds <= latency for seconds in run.latencies) / run.items if run.items else 1.0


def _spread(values: Sequence[float]) -> Spread:
    ordered = sorted(values)
    return Spread(*(_quantile(ordered, share) for share in (0.1, 0.5, 0.9)))


def _quantile(ordered: Sequence[float], share: float) -> float:
    place = share * (len(ordered) - 1)
    low, high = ordered[math.floor(place)], ordered[math.ceil(place)]
    return low if low == high else low + (place - math.floor(place)) * (high - low)
