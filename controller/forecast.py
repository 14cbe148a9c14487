"""When a submission is expected to end, how probably in time, and what it will cost. Pure, no clock.

The finish time is that of ``laws.outlook``: items start evenly until the queue empties, and each start may be a long
one. Where the deadline law steers, its own further decisions are foreseen: the queue is let empty step by step with
what the law would ask for at each step, and when the work comes to more or less than expected, the law takes up a part
of that. The doubt about the work is spread over a normal deviate, as in the law.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from common.domain.forecast import Forecast
from common.domain.submission import Kind
from controller.laws import Memory, Situation
from controller.laws.deadline import Deadline, DeadlineSettings, Plan, believed, needed, planned, recalled
from controller.laws.outlook import Outlook, quantile

_STEPS = 6
"""Steps in which the queue is let empty."""
_SURPRISES = ((0.2, 0.3), (1.0, 0.4), (4.0, 0.3))
"""How much more or less risk the law may see from now on, by factor and weight: what it will learn is not known."""
_TAKEN_UP = 0.35
"""A law that steers takes up this share of what the work comes to beyond what was expected."""
_ROUNDED = 0.35
"""Standard deviation of a count rounded to whole replicas."""
_MOST_IN_WORK = 0.3
_NODES = ((-1.5, 0.15), (-0.67, 0.2), (0.0, 0.3), (0.67, 0.2), (1.5, 0.15))
"""Values and weights of a standard normal deviate, for quantiles from 5 to 95 percent."""
_SHARES = {"p5": 0.05, "p10": 0.1, "p50": 0.5, "p90": 0.9, "p95": 0.95}

Starts = tuple[tuple[float, float, float], ...]
"""How many items start evenly between when and when, in seconds from now."""


@dataclass(frozen=True)
class _Course:
    """How the queue is expected to empty, and the replica seconds spent until then."""

    starts: Starts
    empty: float
    spent: float
    last: int
    """Replicas at that time."""


def forecast(
    situation: Situation,
    replicas: int,
    *,
    reason: str = "",
    memory: Memory | None = None,
    settings: DeadlineSettings | None = None,
    steered: bool = True,
) -> Forecast:
    """The forecast for a batch that is to have ``replicas`` from now on, for ``reason``.

    ``steered``: the deadline law is at work (with ``settings`` and ``memory``) and will use the time that is left;
    otherwise the replicas are taken to stay as they are. Before anything runs, give a situation whose observation
    holds but ``counts`` and ``deadline``: the expected item time or the history then tell.
    """
    settings, memory = settings or DeadlineSettings(), memory or {}
    seen = situation.observation
    proposal = Deadline().decide(situation, settings, memory)
    said = Forecast(at=seen.at, wanted=replicas, reason=reason or proposal.reason, feasible=proposal.feasible)
    if situation.kind is Kind.STREAM:
        return Forecast(at=seen.at, wanted=replicas, reason=reason)
    if seen.counts.outstanding == 0:
        over = seen.elapsed if seen.counts.total is not None else None
        ended = dict.fromkeys(("p5", "p10", "p50", "p90", "p95"), over)
        return said.model_copy(update={**ended, "feasible": True, "replica_seconds": 0.0})
    time = believed(situation)
    if time is None or replicas <= 0:
        return said
    plan = planned(situation, settings, recalled(memory), time)
    outlook = plan.outlook
    steered = steered and situation.time_left is not None
    ways: dict[_Course, float] = {}
    for surprise, weight in _SURPRISES if steered else ((1.0, 1.0),):
        way = _steered(plan, replicas, settings, surprise) if steered else _steady(plan, replicas)
        if not math.isfinite(way.empty):
            return said
        ways[way] = ways.get(way, 0.0) + weight
    course = list(ways)[len(ways) // 2]
    spread = outlook.doubt * (1.0 - _TAKEN_UP if steered else 1.0)
    if steered:
        spread = math.hypot(spread, _ROUNDED / replicas)
    courses = [
        (share * weight, _stretched(way, _in_work(outlook, way) * _scale(outlook, way, deviate, spread, steered)))
        for way, share in ways.items()
        for deviate, weight in _NODES
    ]

    def done_by(seconds: float) -> float:
        return sum(weight * outlook.done_by(seconds, starts) for weight, starts in courses)

    empty = [starts[-1][2] if starts else 0.0 for _, starts in courses]
    quantiles = {
        name: seen.elapsed + quantile(done_by, share, min(empty), max(empty), time) for name, share in _SHARES.items()
    }
    left = situation.time_left
    late = 0.0
    if not proposal.feasible and proposal.eta is not None and left is not None:
        late = max(0.0, proposal.eta - left)
    rest = _tail_cost(outlook, course, quantiles["p50"] - seen.elapsed)
    return said.model_copy(
        update={
            **quantiles,
            "chance": None if left is None else done_by(max(0.0, left)),
            "late_by": late,
            "replica_seconds": course.spent + rest,
        }
    )


def _steady(plan: Plan, replicas: int) -> _Course:
    """The replicas stay."""
    outlook = plan.outlook
    if not outlook.waiting:
        return _Course((), 0.0, 0.0, replicas)
    empty = outlook.empties_in(replicas)
    return _Course(((float(outlook.waiting), 0.0, empty),), empty, empty * replicas, replicas)


def _steered(plan: Plan, replicas: int, settings: DeadlineSettings, surprise: float) -> _Course:
    """The law goes on deciding, and sees ``surprise`` times the risk that is expected."""
    outlook, now, spent = replace(plan.outlook, familiar=surprise), 0.0, 0.0
    starts: list[tuple[float, float, float]] = []
    while outlook.waiting > 0 and len(starts) < _STEPS:
        steps = _STEPS - len(starts)
        started = math.ceil(outlook.waiting / steps)
        empty = outlook.empties_in(replicas)
        if not math.isfinite(empty):
            return _Course((), math.inf, math.inf, replicas)
        took = empty * started / outlook.waiting
        starts.append((float(started), now, now + took))
        now, spent = now + took, spent + took * replicas
        outlook = outlook.later(took, started)
        if outlook.waiting > 0:
            replicas = min(needed(replace(plan, outlook=outlook), settings.confidence, 1), plan.most)
            outlook = outlook.busy(replicas)
    return _Course(tuple(starts), now, spent, replicas)


def _scale(outlook: Outlook, course: _Course, deviate: float, spread: float, steered: bool) -> float:
    """How much longer the queue takes when the work comes to more or less by this deviate. A law that steers asks for
    more replicas once that would take too long, as far as the most replicas go."""
    scale = math.exp(deviate * spread)
    if not steered or scale <= 1.0 or course.empty <= 0:
        return scale
    soonest = outlook.empties_in(max(1, outlook.most), math.exp(deviate * outlook.doubt))
    allowed = max(course.empty, outlook.left - outlook.time.mean, soonest)
    return min(scale, max(allowed / course.empty, 1.0))


def _stretched(course: _Course, factor: float) -> Starts:
    return tuple((number, first * factor, last * factor) for number, first, last in course.starts)


def _in_work(outlook: Outlook, course: _Course) -> float:
    """When the queue is empty the last items are still in work: so it is empty in this share of the time."""
    time = outlook.time
    rest = min(0.5 * time.mean * (1.0 + time.variation**2), time.mean)
    return 1.0 - min(rest / course.empty, _MOST_IN_WORK) if course.empty > 0 else 1.0


def _tail_cost(outlook: Outlook, course: _Course, end: float) -> float:
    """Replica seconds after the queue is empty: each item ends by itself, the longest at the end."""
    mean = outlook.time.mean
    items = course.last if outlook.waiting else sum(number for _, number in outlook.running)
    return min(max(end - course.empty, 0.0), mean) * items + max(0.0, end - course.empty - mean)
