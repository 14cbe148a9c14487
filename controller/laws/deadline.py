"""The fewest replicas that finish a batch by its deadline with the confidence asked for.

Model: the work left is the sum of many item times, so nearly normal; k replicas share it evenly until the last items,
of which the longest ends alone. A replica that does not run yet works only after a start-up time. So, with the
horizon H = time left - time R for the longest item, k replicas of which r run can do R + min(k, r) * H +
(k - r) * (H - start-up) seconds of work, and the fewest k for which that covers the work at the asked confidence
are wanted. That capacity grows with time left, hence more time never asks for more replicas.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field

from common.domain.fields import Duration
from common.domain.units import format_duration
from controller.laws.base import Law, LawSettings, Memory, Proposal, Situation, recall
from controller.laws.estimate import ItemTime, item_time

_DEFAULT_STARTUP = 5.0
"""Seconds from asking for a replica to its first item, until one was measured."""
_MOST_TAIL = 0.75
"""At most this share of the time left is kept for the longest item: it may come, but the others surely will."""
_LEAST_STEP_DOWN = 0.1
"""Giving back less than this share of the replicas is not worth a change."""
_LEAST_STILL = 0.25
"""A pending replica needs at least this share of the start-up time from now on, however long it has been starting."""
_MOST_FAILURES = 0.9
"""Share of failing attempts beyond which planning with still more attempts makes no sense."""
_PACE_WEIGHT = 5.0
"""The measured pace is trusted fully only after several items a replica more than these."""
_PACE_SECONDS = 10.0
"""... and after these seconds of work a replica: until then its own start-up would pass for slowness."""
_PACE_MEMORY = 20.0
"""The pace forgets with a half-life of so many item times (at least a minute): contention changes."""
_LEAST_PACE_MEMORY = 60.0


class DeadlineSettings(LawSettings):
    """All have sensible defaults."""

    confidence: float = Field(default=0.95, ge=0.5, le=0.999, description="Probability of meeting the deadline.")
    reserve: float = Field(
        default=0.03, ge=0, le=0.5, description="Share of the deadline to finish early, for what cannot be measured."
    )
    slack: float = Field(
        default=0.2, ge=0, le=2, description="Replicas are given back once so much more work would still fit."
    )
    patience: Duration = Field(
        default=10.0, description="How long replicas must be too many before some are given back."
    )


class _Memory(BaseModel):
    """``busy``: replica seconds spent with items waiting; ``done``: items settled meanwhile; both fade."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    at: float | None = None
    settled: int = 0
    invested: float = 0.0
    busy: float = 0.0
    done: float = 0.0
    calm_since: float | None = None
    """Since when the replicas are too many."""
    raised_at: float | None = None
    """When replicas were last asked for; those pending have been starting since."""


@dataclass(frozen=True)
class _Load:
    """The work left in replica seconds, its standard deviation, and the time to keep for the longest item."""

    work: float
    deviation: float
    tail: float


class Deadline(Law[DeadlineSettings]):
    """See the module."""

    settings: ClassVar[type[LawSettings]] = DeadlineSettings
    summary: ClassVar[str] = "the fewest replicas that meet the deadline with the asked confidence (batches)"

    def decide(self, situation: Situation, settings: DeadlineSettings, memory: Memory) -> Proposal:
        past = recall(_Memory, memory)
        counts = situation.observation.counts
        if counts.outstanding == 0:
            wanted = min(situation.current, situation.clamp(situation.minimum))
            return Proposal(wanted, "nothing is outstanding", eta=0.0, memory=past.model_dump())
        time = item_time(situation.observation.service, situation.expected_item_time, situation.item_timeout)
        past = _learned(past, situation, time)
        most = max(situation.minimum, min(situation.maximum, counts.outstanding))
        left = situation.time_left
        if left is None:
            return _without_deadline(situation, past, time, most)
        if time is None or (not time.known and counts.done == 0):
            proposal = _explore(situation, settings, past, time, most, left)
        else:
            proposal = _plan(situation, settings, past, time, most, left)
        if proposal.wanted > situation.current:
            return replace(proposal, memory={**proposal.memory, "raised_at": situation.observation.at})
        return proposal


def _without_deadline(situation: Situation, past: _Memory, time: ItemTime | None, most: int) -> Proposal:
    start = situation.minimum if situation.initial is None else situation.initial
    wanted = min(max(start, 1 if situation.maximum else 0), most)
    eta = None if time is None else _eta(_load(situation, past, time), situation, wanted)
    name = "min" if situation.initial is None else "initial"
    return Proposal(wanted, f"no deadline: holds at {name}", eta=eta, memory=past.model_dump())


def _explore(
    situation: Situation, settings: DeadlineSettings, past: _Memory, time: ItemTime | None, most: int, left: float
) -> Proposal:
    """Nothing has finished and no hint was given: a quarter of max, or more once the running items demand it."""
    guess = situation.initial if situation.initial is not None else math.ceil(situation.maximum / 4)
    wanted = min(max(guess, 1, situation.minimum), most)
    reason = "exploring: how long an item takes is not known yet"
    if time is not None:
        # The running ones tell but a lower bound, so nothing is put on top of it.
        load = replace(_load(situation, past, time), deviation=0.0)
        needed = _fewest(load, situation, settings, past, most, left, 1.0)
        wanted = max(wanted, most if needed is None else needed)
        reason += f"; the running ones took {format_duration(time.longest)} so far"
    return Proposal(max(wanted, min(situation.current, most)), reason, memory=past.model_dump())


def _plan(
    situation: Situation, settings: DeadlineSettings, past: _Memory, time: ItemTime, most: int, left: float
) -> Proposal:
    counts, current = situation.observation.counts, situation.current
    load = _load(situation, past, time)
    told = (
        f"{counts.outstanding} items of about {format_duration(time.mean)} = {format_duration(load.work)} of work, "
        f"{format_duration(left)} left"
    )
    if counts.ready + counts.delayed == 0:
        # Who runs the last items cannot be helped by others, nor replaced without losing what it has done.
        wanted = situation.clamp(max(1, min(current, counts.leased)))
        eta = max((time.remaining(age) for age in situation.observation.service.running), default=time.mean)
        reason = f"the last {counts.leased} items are in work"
        if eta > left:
            reason += f" and end about {format_duration(eta - left)} late"
        return Proposal(wanted, reason, eta <= left, eta, past.model_dump())
    shortest = _eta(load, situation, most)
    if shortest > left:
        late = format_duration(shortest - left)
        reason = f"{told}: even {most} replicas finish about {late} late; does its best"
        return Proposal(most, reason, False, shortest, past.model_copy(update={"calm_since": None}).model_dump())
    needed = _fewest(load, situation, settings, past, most, left, 1.0)
    roomy = _fewest(load, situation, settings, past, most, left, 1.0 + settings.slack)
    needed = most if needed is None else needed
    roomy = most if roomy is None else roomy
    too_many = current - roomy >= max(1.0, _LEAST_STEP_DOWN * current)
    at = situation.observation.at
    # A clock that stepped back starts the wait anew.
    calm_since = min(at, at if past.calm_since is None else past.calm_since) if too_many else None
    if needed >= current:
        wanted, verdict = needed, f"needs {needed}"
    elif calm_since is not None and at - calm_since >= settings.patience:
        wanted, calm_since, verdict = roomy, None, f"needs {needed}, {roomy} with slack"
    else:
        wanted, verdict = min(current, most), f"needs {needed}, keeps {current} in hand"
    memory = past.model_copy(update={"calm_since": calm_since}).model_dump()
    return Proposal(wanted, f"{told}: {verdict}", eta=_eta(load, situation, wanted), memory=memory)


def _learned(past: _Memory, situation: Situation, time: ItemTime | None) -> _Memory:
    """The memory after one more look: how much replica time an item really costs, waiting and start included."""
    seen = situation.observation
    settled = seen.counts.done + seen.counts.dead
    ages = seen.service.running
    in_work = min(len(ages), seen.replicas.observed)
    invested = sum(ages) / len(ages) * in_work if ages else 0.0
    step = 0.0 if past.at is None else seen.at - past.at
    fresh = {"at": seen.at, "settled": settled, "invested": invested}
    if step <= 0 or settled < past.settled or seen.counts.ready == 0 or time is None:
        return past.model_copy(update=fresh)
    step = min(step, 5.0 * situation.interval)
    keep = 0.5 ** (step / max(_LEAST_PACE_MEMORY, _PACE_MEMORY * time.mean))
    spent = seen.replicas.observed * step - (invested - past.invested)
    return past.model_copy(
        update={
            **fresh,
            "busy": min(max(0.0, past.busy * keep + spent), 1e12),
            "done": past.done * keep + (settled - past.settled),
        }
    )


def _load(situation: Situation, past: _Memory, time: ItemTime) -> _Load:
    seen = situation.observation
    counts, ages = seen.counts, seen.service.running
    waiting = counts.ready + counts.delayed
    failing = min(seen.failures / (seen.attempts + 5.0), _MOST_FAILURES)
    attempts = 1.0 / (1.0 - failing)
    weight = max(_PACE_WEIGHT + 2.0 * seen.replicas.observed, _PACE_SECONDS * seen.replicas.observed / time.mean)
    # Failed attempts cost time as well, so the measured cost contains them: the greater of the two, not both.
    cost = max((past.busy + weight * time.mean) / (past.done + weight), time.mean * attempts)
    scale = cost / time.mean
    started = sum(time.remaining(age) for age in ages)
    if ages:
        started *= counts.leased / len(ages)
    else:
        started = counts.leased * time.mean
    work = waiting * cost + started * scale
    items = float(counts.outstanding)
    deviation = scale * math.hypot(math.sqrt(items) * time.deviation, items * time.uncertainty)
    tail = max(time.longest_of(waiting), min(time.longest, time.mean + 3.0 * time.deviation) if waiting else 0.0)
    tail = max([tail, *(time.remaining(age) for age in ages)])
    if situation.item_timeout is not None:
        tail = min(tail, max(situation.item_timeout, time.mean))
    return _Load(work, deviation, tail)


def _startup(situation: Situation) -> float:
    known = situation.observation.startup
    return _DEFAULT_STARTUP if known is None else known


def _eta(load: _Load, situation: Situation, replicas: int) -> float:
    """Expected seconds to the end with so many replicas, some of which may have to start first."""
    if replicas <= 0:
        return math.inf if load.work > 0 else 0.0
    running = min(replicas, situation.observation.replicas.observed)
    startup = _startup(situation)
    alone = load.work / running if running else math.inf
    if alone <= startup:
        return alone
    return (load.work + (replicas - running) * startup) / replicas


def _fewest(
    load: _Load,
    situation: Situation,
    settings: DeadlineSettings,
    past: _Memory,
    most: int,
    left: float,
    factor: float,
) -> int | None:
    """The fewest replicas whose time covers ``factor`` times the work at the asked confidence; None: not even most."""
    seen = situation.observation
    left = max(0.0, left)
    horizon = left - min(settings.reserve * (seen.deadline or 0.0), 0.5 * left)
    tail = min(load.tail, _MOST_TAIL * horizon)
    usable = horizon - tail
    work = factor * (load.work + NormalDist().inv_cdf(settings.confidence) * load.deviation)
    startup = _startup(situation)
    starting_for = 0.0 if past.raised_at is None else max(0.0, seen.at - past.raised_at)
    still = max(_LEAST_STILL * startup, startup - starting_for)

    def fits(replicas: int) -> bool:
        running = min(replicas, seen.replicas.observed)
        pending = min(replicas - running, seen.replicas.pending)
        fresh = replicas - running - pending
        time = running * usable + pending * max(0.0, usable - still) + fresh * max(0.0, usable - startup)
        return tail + time >= work

    low, high = max(1, situation.minimum), max(1, most)
    if not fits(high):
        return None
    while low < high:
        middle = (low + high) // 2
        if fits(middle):
            high = middle
        else:
            low = middle + 1
    return low
