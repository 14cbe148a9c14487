"""What a submission cost, beside what it need have cost. Pure.

The yardstick is somebody who knew the work beforehand and kept one number of replicas all the time: the fewest with
which work W is done by the deadline D, when a replica takes S to start, and each of the items that are longer than half
of the time there is has one for itself. See docs/control.md.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from manager.reporting.spreads import Weighted

Row = Mapping[str, float | None]
Held = Sequence[tuple[float, float, float]]
"""Steps of (seconds they last, replicas observed, money an hour)."""


@dataclass(frozen=True)
class Work:
    """What had to be done. Seconds. ``durations`` are those of its items, with how often each occurs."""

    total: float
    deadline: float | None
    startup: float
    durations: Sequence[Weighted]


@dataclass(frozen=True)
class Economy:
    """None: not known. ``over`` is replica-seconds over the needed ones; ``excess`` the share of the replica-seconds
    that were held beyond the needed replicas."""

    replica_seconds: float
    price: float | None
    """Money that a replica cost in an hour, as last told."""
    money: float | None
    """Of replicas that ran or were asked for."""
    work: float | None
    """Seconds that the accepted attempts took, all together."""
    needed_replicas: int | None
    needed_replica_seconds: float | None
    over: float | None
    excess: float | None


def steps_of(rows: Mapping[str, Row]) -> list[tuple[float, float, float]]:
    """How long each measurement held: until the next one. The last one holds for no time."""
    told = [(float(second), row) for second, row in rows.items() if row.get("replicas") is not None]
    told.sort(key=lambda one: one[0])
    return [
        (after - at, row.get("replicas") or 0.0, row.get("cost") or 0.0)
        for (at, row), (after, _) in itertools.pairwise(told)
    ]


def economy(held: Held, replica_seconds: float, price: float | None, work: Work | None) -> Economy:
    """The account of what was held, for that work."""
    money = math.fsum(seconds * cost for seconds, _, cost in held) / 3600.0
    needed = None if work is None else needed_replicas(work)
    needed_seconds = None if needed is None or work is None else work.total + needed * work.startup
    spent = math.fsum(seconds * replicas for seconds, replicas, _ in held)
    return Economy(
        replica_seconds=replica_seconds,
        price=price,
        money=money if money > 0 or price is not None else None,
        work=None if work is None else work.total,
        needed_replicas=needed,
        needed_replica_seconds=needed_seconds,
        over=replica_seconds / needed_seconds if needed_seconds else None,
        excess=_beyond(held, needed) / spent if needed is not None and spent > 0 else None,
    )


def needed_replicas(work: Work) -> int | None:
    """The fewest replicas that somebody who knew the work would have kept; None without a deadline, or when there is no
    time left after the start."""
    if work.deadline is None or work.deadline <= work.startup or work.total <= 0:
        return None
    time = work.deadline - work.startup
    long = math.fsum(times for seconds, times in work.durations if seconds > time / 2)
    return max(1, math.ceil(work.total / time), math.ceil(long - 1e-9))


def _beyond(held: Iterable[tuple[float, float, float]], needed: int) -> float:
    return math.fsum(seconds * max(0.0, replicas - needed) for seconds, replicas, _ in held)
