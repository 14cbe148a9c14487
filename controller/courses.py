"""How the queue of a batch is expected to empty, with or without a law that goes on deciding. Pure; seconds from now.

Where the deadline law steers, its own further decisions are foreseen: the queue is let empty step by step with what the
law would ask for at each step, and when the work comes to more or less than expected, the law takes up a part of that.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from controller.laws.deadline import DeadlineSettings, Plan, needed
from controller.laws.outlook import Outlook

_STEPS = 6
"""Steps in which the queue is let empty."""
_MOST_IN_WORK = 0.3
"""Share of the time in which the last items may be in work after the queue is empty."""
_LEAST_STEP_DOWN = 0.05
"""Share of the replicas below which the law gives none back."""
_AS_FAST = 0.03
_UNSURE = 0.04
"""Share of the service time by which the measured cost of an item may be too high."""
_PHASE = 0.25
"""Standard deviation, in items, of when the queue is empty though all work takes as long as expected."""

Starts = tuple[tuple[float, float, float], ...]
"""How many items start evenly between when and when, in seconds from now."""


@dataclass(frozen=True)
class Course:
    """How the queue is expected to empty, and the replica seconds spent until then."""

    starts: Starts
    empty: float
    spent: float
    last: int
    """Replicas at that time."""


def steady(plan: Plan, replicas: int) -> Course:
    """The replicas stay."""
    outlook = plan.outlook
    if not outlook.waiting:
        return Course((), 0.0, 0.0, replicas)
    empty = _until_empty(outlook, replicas)
    return Course(((float(outlook.waiting), 0.0, empty),), empty, empty * replicas, replicas)


def steered(plan: Plan, replicas: int, settings: DeadlineSettings, surprise: float) -> Course:
    """The law goes on deciding, and sees ``surprise`` times the risk that is expected."""
    outlook, now, spent = replace(plan.outlook, familiar=surprise), 0.0, 0.0
    starts: list[tuple[float, float, float]] = []
    while outlook.waiting > 0 and len(starts) < _STEPS:
        steps = _STEPS - len(starts)
        started = math.ceil(outlook.waiting / steps)
        empty = _until_empty(outlook, replicas)
        if not math.isfinite(empty):
            return Course((), math.inf, math.inf, replicas)
        took = empty * started / outlook.waiting
        starts.append((float(started), now, now + took))
        now, spent = now + took, spent + took * replicas
        outlook = _at_work(outlook.later(took, started), replicas)
        if outlook.waiting > 0:
            replicas = _next(replace(plan, outlook=outlook), settings, replicas)
            outlook = _at_work(outlook, replicas)
    return Course(_merged(starts), now, spent, replicas)


def _merged(starts: Sequence[tuple[float, float, float]]) -> Starts:
    """The same with neighbours made one that go (nearly) as fast: each costs time at every look."""
    merged = list(starts[:1])
    for number, first, last in starts[1:]:
        before, since, _ = merged[-1]
        pace = before / max(first - since, 1e-9)
        if abs(number - pace * (last - first)) <= _AS_FAST * number:
            merged[-1] = (before + number, since, last)
        else:
            merged.append((number, first, last))
    return tuple(merged)


def scaled(outlook: Outlook, course: Course, deviate: float, spread: float, is_steered: bool) -> Starts:
    """How items start when the work comes to more or less by this deviate. A law that steers asks for more replicas
    once that would take too long, as far as the most replicas go."""
    factor = _longer(outlook, course, deviate, spread, is_steered)
    return tuple((number, first * factor, last * factor) for number, first, last in course.starts)


def _longer(outlook: Outlook, course: Course, deviate: float, spread: float, is_steered: bool) -> float:
    phase = _PHASE * outlook.time.mean / course.empty if course.empty > 0 else 0.0
    scale = math.exp(deviate * math.hypot(spread, min(phase, 0.5)))
    if not is_steered or scale <= 1.0 or course.empty <= 0:
        return scale
    soonest = outlook.empties_in(max(1, outlook.most), math.exp(deviate * outlook.doubt))
    allowed = max(course.empty, outlook.left - outlook.time.mean, soonest)
    return min(scale, max(allowed / course.empty, 1.0))


def _next(plan: Plan, settings: DeadlineSettings, replicas: int) -> int:
    """What the law asks for next: it gives replicas back only where less risk than allowed remains."""
    risk = 1.0 - settings.confidence
    need = min(needed(plan, 1.0 - risk, 1), plan.most)
    if need >= replicas:
        return need
    roomy = min(needed(plan, 1.0 - risk / (1.0 + settings.slack), 1), plan.most)
    return roomy if replicas - roomy >= max(1.0, _LEAST_STEP_DOWN * replicas) else replicas


def _until_empty(outlook: Outlook, replicas: int) -> float:
    """Seconds until no item waits. The outlook tells when the work is done, were it evenly spread to the end; but when
    the queue is empty the last items are still in work."""
    done = _fair(outlook).empties_in(replicas)
    return max(done - _rest(outlook), (1.0 - _MOST_IN_WORK) * done) if math.isfinite(done) else done


def _fair(outlook: Outlook) -> Outlook:
    """With what an item costs beside its service time as far as it is beyond doubt: the start of each replica passes
    for a part of it."""
    mean = outlook.time.mean
    level = max(mean, outlook.cost.level - _UNSURE * mean)
    return replace(outlook, cost=replace(outlook.cost, level=level))


def _rest(outlook: Outlook) -> float:
    """Mean seconds that an item found in work still takes; as many it has been in work (renewal theory)."""
    time = outlook.time
    return min(0.5 * time.mean * (1.0 + time.variation**2), time.mean)


def _at_work(outlook: Outlook, replicas: int) -> Outlook:
    """With so many replicas, each of them at an item it began at some time or other."""
    return replace(outlook.busy(replicas), running=((_rest(outlook), float(replicas)),))
