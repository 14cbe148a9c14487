"""When a submission is expected to end, how probably in time, and what it will cost. Pure, no clock.

The finish time is that of ``laws.outlook``: items start evenly until the queue empties, and each start may be a long
one. Where the deadline law steers, its own further decisions are foreseen: the queue is let empty step by step with
what the law would ask for at each step, and when the work comes to more or less than expected, the law takes up a part
of that. The doubt about the work is spread over a normal deviate, as in the law.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist

from common.domain.forecast import Forecast
from common.domain.submission import Kind
from controller.laws import Proposal, Situation
from controller.laws.deadline import Deadline, DeadlineSettings, Plan, believed, needed, planned, recalled
from controller.laws.outlook import Outlook

_STEPS = 6
"""Steps in which the queue is let empty."""
_SURPRISES = ((0.2, 0.3), (1.0, 0.4), (4.0, 0.3))
"""How much more or less risk the law may see from now on, by factor and weight: what it will learn is not known."""
_TAKEN_UP = 0.35
"""A law that steers takes up this share of what the work comes to beyond what was expected."""
_ROUNDED = 0.35
"""Standard deviation of a count rounded to whole replicas."""
_MOST_IN_WORK = 0.3
_LEAST_STEP_DOWN = 0.05
_UNSURE = 0.04
"""Share of the service time by which the measured cost of an item may be too high."""
_PHASE = 0.15
"""Standard deviation, in items, of when the queue is empty though all work takes as long as expected."""
_DEVIATES = tuple(NormalDist().inv_cdf((place + 0.5) / 9) for place in range(9))
"""Standard normal deviates of equal weight."""
_SHARES = {"p5": 0.05, "p10": 0.1, "p50": 0.5, "p90": 0.9, "p95": 0.95}
_LEVELS = _SHARES

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
    proposal: Proposal | None = None,
    settings: DeadlineSettings | None = None,
    steered: bool = True,
) -> Forecast:
    """The forecast for a batch that is to have ``replicas`` from now on, for ``reason``.

    ``steered``: the deadline law is at work (with ``settings``) and will use the time that is left; otherwise the
    replicas are taken to stay as they are. ``proposal`` is what that law says of this situation; it is asked when that
    is not given. Before anything runs, give a situation whose observation holds but ``counts`` and ``deadline``: the
    expected item time or the history then tell.
    """
    settings = settings or DeadlineSettings()
    seen = situation.observation
    if situation.kind is Kind.STREAM:
        return Forecast(at=seen.at, wanted=replicas, reason=reason)
    if proposal is None:
        proposal = Deadline().decide(situation, settings, {})
    said = Forecast(
        at=seen.at,
        wanted=replicas,
        reason=reason or proposal.reason,
        feasible=proposal.feasible,
        deadline=seen.deadline,
    )
    if seen.counts.outstanding == 0:
        over = seen.elapsed if seen.counts.total is not None else None
        ended = dict.fromkeys(("p5", "p10", "p50", "p90", "p95"), over)
        return said.model_copy(update={**ended, "feasible": True, "replica_seconds": 0.0})
    time = believed(situation)
    if time is None or replicas <= 0:
        return said
    plan = planned(situation, settings, recalled(proposal.memory), time)
    ends = _ends(plan, replicas, settings, steered and situation.time_left is not None)
    if ends is None:
        return said
    found = ends.quantiles([_LEVELS[name] for name in _SHARES])
    quantiles = {name: seen.elapsed + seconds for name, seconds in zip(_SHARES, found, strict=True)}
    left = situation.time_left
    late = 0.0
    if not proposal.feasible and proposal.eta is not None and left is not None:
        late = max(0.0, proposal.eta - left)
    rest = _tail_cost(plan.outlook, ends.course, quantiles["p50"] - seen.elapsed)
    return said.model_copy(
        update={
            **quantiles,
            "chance": None if left is None else ends.done_by(max(0.0, left)),
            "late_by": late,
            "replica_seconds": ends.course.spent + rest,
        }
    )


@dataclass(frozen=True)
class _Ends:
    """The mixture of ways in which all may end: weight, and how items start in it."""

    outlook: Outlook
    course: _Course
    """The middle one."""
    ways: tuple[tuple[float, Starts], ...]

    def done_by(self, seconds: float) -> float:
        """The probability that all is done ``seconds`` from now."""
        time = self.outlook.time
        running = sum(number * time.outlasts_from(age, seconds) for age, number in self.outlook.running)
        total = 0.0
        for weight, starts in self.ways:
            if starts and seconds <= starts[-1][2]:
                continue
            late = running
            for number, first, last in starts:
                width = max(last - first, 1e-6)
                late += number * (time.capped(seconds - first) - time.capped(seconds - last)) / width
            total += weight * math.exp(-min(late, 700.0))
        return total

    def quantiles(self, shares: Sequence[float]) -> list[float]:
        """When ``done_by`` reaches these rising shares, to two tenths of a percent; beyond belief it is cut."""
        time = self.outlook.time
        last = max((starts[-1][2] for _, starts in self.ways if starts), default=0.0)
        limit = last + time.edges[-1]
        low, below = min((starts[-1][2] for _, starts in self.ways if starts), default=0.0), 0.0
        found = []
        for share in shares:
            high = max(low * 1.02, low + 0.2 * time.mean)
            above = self.done_by(high)
            while above < share and high < limit:
                low, below, high = high, above, low + 1.6 * (high - low) + 0.1 * time.mean
                above = self.done_by(high)
            while high - low > 0.002 * high:
                middle = 0.5 * (low + high)
                reached = self.done_by(middle)
                if reached < share:
                    low, below = middle, reached
                else:
                    high, above = middle, reached
            part = (share - below) / (above - below) if above > below else 1.0
            found.append(low + min(max(part, 0.0), 1.0) * (high - low))
        return found


def _ends(plan: Plan, replicas: int, settings: DeadlineSettings, steered: bool) -> _Ends | None:
    """How all may end; None when it never does."""
    outlook = plan.outlook
    courses: dict[_Course, float] = {}
    for surprise, weight in _SURPRISES if steered else ((1.0, 1.0),):
        course = _steered(plan, replicas, settings, surprise) if steered else _steady(plan, replicas)
        if not math.isfinite(course.empty):
            return None
        courses[course] = courses.get(course, 0.0) + weight
    spread = outlook.doubt * (1.0 - _TAKEN_UP if steered else 1.0)
    if steered:
        spread = math.hypot(spread, _ROUNDED / replicas)
    ways = tuple(
        (share / len(_DEVIATES), _stretched(course, _scale(outlook, course, deviate, spread, steered)))
        for course, share in courses.items()
        for deviate in _DEVIATES
    )
    return _Ends(outlook, list(courses)[len(courses) // 2], ways)


def _steady(plan: Plan, replicas: int) -> _Course:
    """The replicas stay."""
    outlook = plan.outlook
    if not outlook.waiting:
        return _Course((), 0.0, 0.0, replicas)
    empty = _until_empty(outlook, replicas)
    return _Course(((float(outlook.waiting), 0.0, empty),), empty, empty * replicas, replicas)


def _steered(plan: Plan, replicas: int, settings: DeadlineSettings, surprise: float) -> _Course:
    """The law goes on deciding, and sees ``surprise`` times the risk that is expected."""
    outlook, now, spent = replace(plan.outlook, familiar=surprise), 0.0, 0.0
    starts: list[tuple[float, float, float]] = []
    while outlook.waiting > 0 and len(starts) < _STEPS:
        steps = _STEPS - len(starts)
        started = math.ceil(outlook.waiting / steps)
        empty = _until_empty(outlook, replicas)
        if not math.isfinite(empty):
            return _Course((), math.inf, math.inf, replicas)
        took = empty * started / outlook.waiting
        starts.append((float(started), now, now + took))
        now, spent = now + took, spent + took * replicas
        outlook = _at_work(outlook.later(took, started), replicas)
        if outlook.waiting > 0:
            replicas = _next(replace(plan, outlook=outlook), settings, replicas)
            outlook = _at_work(outlook, replicas)
    return _Course(tuple(starts), now, spent, replicas)


def _scale(outlook: Outlook, course: _Course, deviate: float, spread: float, steered: bool) -> float:
    """How much longer the queue takes when the work comes to more or less by this deviate. A law that steers asks for
    more replicas once that would take too long, as far as the most replicas go."""
    phase = _PHASE * outlook.time.mean / course.empty if course.empty > 0 else 0.0
    scale = math.exp(deviate * math.hypot(spread, min(phase, 0.5)))
    if not steered or scale <= 1.0 or course.empty <= 0:
        return scale
    soonest = outlook.empties_in(max(1, outlook.most), math.exp(deviate * outlook.doubt))
    allowed = max(course.empty, outlook.left - outlook.time.mean, soonest)
    return min(scale, max(allowed / course.empty, 1.0))


def _stretched(course: _Course, factor: float) -> Starts:
    return tuple((number, first * factor, last * factor) for number, first, last in course.starts)


def _next(plan: Plan, settings: DeadlineSettings, replicas: int) -> int:
    """What the law asks for next: it gives replicas back only when as many less would do with less risk than allowed."""
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


def _tail_cost(outlook: Outlook, course: _Course, end: float) -> float:
    """Replica seconds after the queue is empty: each item ends by itself, the longest at the end."""
    mean = outlook.time.mean
    items = course.last if outlook.waiting else sum(number for _, number in outlook.running)
    return min(max(end - course.empty, 0.0), mean) * items + max(0.0, end - course.empty - mean)
