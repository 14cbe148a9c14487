"""When a submission is expected to end, how probably in time, and what it will cost. Pure, no clock.

The queue empties in one of several ways (``courses``), and each item that starts on the way may be a long one: the
chance that none is left is that of ``laws.outlook``. The doubt about the work is spread over a normal deviate, as in
the law. The mixture is calibrated: its quantiles hold the truth of simulated bags as often as they say.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist

from common.domain.forecast import Forecast
from common.domain.history import History
from common.domain.progress import ServiceTimes
from common.domain.submission import Kind
from controller.courses import Course, Starts, scaled, steady, steered
from controller.laws import Proposal, Situation
from controller.laws.deadline import Deadline, DeadlineSettings, Plan, believed, planned, recalled
from controller.laws.outlook import Outlook

_SURPRISES = ((0.2, 0.15), (1.0, 0.55), (4.0, 0.3))
"""How much more or less risk the law may see from now on, by factor and weight: what it will learn is not known."""
_TAKEN_UP = 0.25
"""A law that steers takes up this share of what the work comes to beyond what was expected."""
_ROUNDED = 0.25
"""Standard deviation of a count rounded to whole replicas."""
_DEVIATES = tuple(NormalDist().inv_cdf((place + 0.5) / 9) for place in range(9))
"""Standard normal deviates of equal weight."""
_SHARES = {"p5": 0.05, "p10": 0.1, "p50": 0.5, "p90": 0.9, "p95": 0.95}
_CAUTION, _CAUTION_WEIGHT = 0.65, 40.0
"""The law errs on the side of long items. What it believes of ending later is raised to a power (proportional hazards)
of 1 and up to so much, half of it once so many items are known: fitted to simulated bags, so that quantiles hold the
truth as often as they say. Of small piles less is taken back: users' own vary more from part to part."""
_MOST_HISTORY = 100
"""Items that the law takes a history for at most."""
_ALIKE = 2.0
"""Standard errors between the means of history and pile at which the history counts half."""
_COMPARABLE = 5
"""Finished items from which on they are compared with the history."""


def forecast(
    situation: Situation,
    replicas: int,
    *,
    reason: str = "",
    proposal: Proposal | None = None,
    settings: DeadlineSettings | None = None,
    is_steered: bool = True,
) -> Forecast:
    """The forecast for a batch that is to have ``replicas`` from now on, for ``reason``.

    ``is_steered``: the deadline law is at work (with ``settings``) and will use the time that is left; otherwise the
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
    situation = replace(situation, history=_doubted(situation.history, seen.service))
    time = believed(situation)
    if time is None or replicas <= 0:
        return said
    plan = planned(situation, settings, recalled(proposal.memory), time)
    left = situation.time_left
    is_steered = is_steered and left is not None
    ends = _ends(plan, replicas, settings, is_steered)
    if ends is None:
        return said
    held = _held(plan, left, settings) if is_steered and left is not None else 0.0
    found = zip(_SHARES.items(), ends.quantiles(list(_SHARES.values())), strict=True)
    quantiles = {
        name: seen.elapsed + (min(seconds, left) if left is not None and share <= held else seconds)
        for (name, share), seconds in found
    }
    late = 0.0
    if not proposal.feasible and proposal.eta is not None and left is not None:
        late = max(0.0, proposal.eta - left)
    rest = _tail_cost(plan.outlook, ends.course, quantiles["p50"] - seen.elapsed)
    return said.model_copy(
        update={
            **quantiles,
            "chance": None if left is None else max(ends.done_by(max(0.0, left)), held),
            "late_by": late,
            "replica_seconds": ends.course.spent + rest,
        }
    )


def _doubted(history: History | None, service: ServiceTimes) -> History | None:
    """The history, of less weight the less the items of this pile are like its own: by how many standard errors their
    means differ."""
    if history is None or service.count < _COMPARABLE:
        return history
    old = history.service
    # Items in work count with what they took so far, for those that end first are the short ones.
    own = service.mean + sum(service.running) / service.count
    error = math.hypot(service.deviation / math.sqrt(service.count), old.deviation / math.sqrt(old.count))
    apart = (own - old.mean) / max(error, 1e-3 * old.mean, 1e-9)
    weight = round(min(old.count, _MOST_HISTORY) / (1.0 + (apart / _ALIKE) ** 4))
    return history.model_copy(update={"service": old.model_copy(update={"count": weight})}) if weight else None


@dataclass(frozen=True)
class _Ends:
    """The mixture of ways in which all may end: weight, and how items start in it."""

    outlook: Outlook
    course: Course
    """The middle one."""
    ways: tuple[tuple[float, Starts], ...]

    def done_by(self, seconds: float) -> float:
        """The probability that all is done ``seconds`` from now."""
        time = self.outlook.time
        if seconds <= 0:
            return 0.0
        running = sum(number * _rare(time.outlasts_from(age, seconds)) for age, number in self.outlook.running)
        total = 0.0
        for weight, starts in self.ways:
            if starts and seconds <= starts[-1][2]:
                continue
            late = running
            for number, first, last in starts:
                width = max(last - first, 1e-6)
                late += number * (time.capped(seconds - first) - time.capped(seconds - last)) / width
            total += weight * math.exp(-min(late, 700.0))
        power = 1.0 + _CAUTION * time.weight / (time.weight + _CAUTION_WEIGHT)
        return 1.0 - math.pow(max(0.0, 1.0 - total), power)

    def quantiles(self, shares: Sequence[float]) -> list[float]:
        """When ``done_by`` reaches these rising shares, to two tenths of a percent of the time or one of the chance;
        beyond belief it is cut."""
        time = self.outlook.time
        last = max((starts[-1][2] for _, starts in self.ways if starts), default=0.0)
        limit = last + time.edges[-1]
        low, below = min((starts[-1][2] for _, starts in self.ways if starts), default=0.0), 0.0
        found: list[float] = []
        for share in shares:
            high = min(max(low * 1.02, low + 0.2 * time.mean), limit)
            above = self.done_by(high)
            while above < share and high < limit:
                low, below, high = high, above, min(high + 2.0 * (high - low), limit)
                above = self.done_by(high)
            while high - low > 0.002 * max(high, time.mean) and above - below > 0.01:
                middle = 0.5 * (low + high)
                reached = self.done_by(middle)
                if reached < share:
                    low, below = middle, reached
                else:
                    high, above = middle, reached
            part = (share - below) / (above - below) if above > below else 1.0
            reached_at = low + min(max(part, 0.0), 1.0) * (high - low)
            # Between two looks the chance is taken to rise evenly, which may differ a little from quantile to quantile.
            found.append(max([reached_at, *found[-1:]]))
        return found


def _rare(chance: float) -> float:
    """The rate of rare events that happen with this chance."""
    return -math.log1p(-min(chance, 1.0 - 1e-12))


def _ends(plan: Plan, replicas: int, settings: DeadlineSettings, is_steered: bool) -> _Ends | None:
    """How all may end; None when it never does."""
    outlook = plan.outlook
    courses: dict[Course, float] = {}
    for surprise, weight in _SURPRISES if is_steered else ((1.0, 1.0),):
        course = steered(plan, replicas, settings, surprise) if is_steered else steady(plan, replicas)
        if not math.isfinite(course.empty):
            return None
        courses[course] = courses.get(course, 0.0) + weight
    spread = outlook.doubt * (1.0 - _TAKEN_UP if is_steered else 1.0)
    if is_steered:
        spread = math.hypot(spread, _ROUNDED / replicas)
    ways = tuple(
        (share / len(_DEVIATES), scaled(outlook, course, deviate, spread, is_steered))
        for course, share in courses.items()
        for deviate in _DEVIATES
    )
    return _Ends(outlook, list(courses)[len(courses) // 2], ways)


def _held(plan: Plan, left: float, settings: DeadlineSettings) -> float:
    """The chance of ending within ``left`` seconds that the law does not let go below, as far as the most replicas can
    have it."""
    outlook = plan.outlook
    course = steady(plan, max(1, plan.most))
    if not math.isfinite(course.empty):
        return 0.0
    ways = tuple(
        (1.0 / len(_DEVIATES), scaled(outlook, course, deviate, outlook.doubt, False)) for deviate in _DEVIATES
    )
    return min(settings.confidence, _Ends(outlook, course, ways).done_by(max(0.0, left)))


def _tail_cost(outlook: Outlook, course: Course, end: float) -> float:
    """Replica seconds after the queue is empty: each item ends by itself, the longest at the end."""
    mean = outlook.time.mean
    items = course.last if outlook.waiting else sum(number for _, number in outlook.running)
    return min(max(end - course.empty, 0.0), mean) * items + max(0.0, end - course.empty - mean)
