"""The fewest replicas that finish a batch by its deadline with the confidence asked for.

Three counts are reckoned with; the greatest counts:
- the steady pace: all of the pile's work over all of its time. Fewer would save no replica seconds, for the work stays
  the same, and would leave less time for the last items;
- the fewest with which the items still waiting start so early that, with the asked confidence, none ends late that
  could still end in time (see ``outlook``);
- what those in work have shown so far, while next to nothing has finished.
Each falls as time grows, hence more time never asks for more replicas. A long item cannot be hastened by others, so it
asks for none; what it asks for is that those waiting start early.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field

from common.domain.fields import Duration
from common.domain.units import format_duration
from controller.laws.base import Law, LawSettings, Memory, Proposal, Situation, recall
from controller.laws.estimate import ItemTime, item_time
from controller.laws.outlook import Outlook, grouped
from controller.laws.pace import Pace

_DEFAULT_STARTUP = 5.0
"""Seconds from asking for a replica to its first item, until one was measured."""
_GUESS = 0.4
"""Share of max to begin with while nothing is known: a deadline is mostly chosen so that max is ample."""
_OF_TIMEOUT = 0.3
"""An item is guessed to take this share of its timeout."""
_GUESS_WEIGHT = 2.0
"""Finished items that this guess is worth."""
_OUTLAST = 1.7
"""While none has finished, an item is expected to take so many times what those in work have taken so far."""
_LEAST_STEP_DOWN = 0.05
"""Giving back less than this share of the replicas is not worth a change."""
_LEAST_STILL = 0.25
"""A pending replica needs at least this share of the start-up time from now on, however long it has been starting."""
_MOST_FAILURES = 0.9
"""Share of failing attempts beyond which planning with still more attempts makes no sense."""


class DeadlineSettings(LawSettings):
    """All have sensible defaults."""

    confidence: float = Field(default=0.95, ge=0.5, le=0.999, description="Probability of meeting the deadline.")
    reserve: float = Field(
        default=0.015, ge=0, le=0.5, description="Share of the deadline to finish early, for what cannot be measured."
    )
    slack: float = Field(
        default=0.4, ge=0, le=2, description="Replicas are given back once so much less risk than allowed remains."
    )
    patience: Duration = Field(
        default=5.0, description="How long replicas must be too many before some are given back."
    )


class _Memory(BaseModel):
    """What is remembered beside the pace."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    pace: Pace = Pace()
    calm_since: float | None = None
    """Since when the replicas are too many."""
    raised_at: float | None = None
    """When replicas were last asked for; those pending have been starting since."""


@dataclass(frozen=True)
class Plan:
    """What the law reckons with. ``known`` counts the items behind the belief; ``most`` is what may be asked for."""

    outlook: Outlook
    known: float
    steady: int
    most: int


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
        time = believed(situation)
        past = past.model_copy(update={"pace": past.pace.looked(situation, None if time is None else time.mean)})
        plan = None if time is None else planned(situation, settings, past, time)
        if situation.time_left is None:
            return _without_deadline(situation, past, plan)
        if plan is None:
            proposal = _explore(situation, past)
        elif counts.ready + counts.delayed == 0:
            proposal = _last_items(situation, past, plan)
        else:
            proposal = _follow(situation, settings, past, plan)
        if proposal.wanted > situation.current:
            return replace(proposal, memory={**proposal.memory, "raised_at": situation.observation.at})
        return proposal


def believed(situation: Situation) -> ItemTime | None:
    """The belief about an item's time; None while nothing is known."""
    seen = situation.observation
    return item_time(
        seen.service,
        situation.expected_item_time,
        situation.item_timeout,
        situation.history,
        None if seen.deadline is None else max(seen.deadline - startup_of(situation), 1e-3),
        _pile(situation),
    )


def planned(situation: Situation, settings: DeadlineSettings, past: BaseModel, time: ItemTime) -> Plan:
    """What the law reckons with at this moment. ``past`` is its memory."""
    memory = past if isinstance(past, _Memory) else _Memory()
    seen = situation.observation
    counts = seen.counts
    startup = startup_of(situation)
    starting_for = 0.0 if memory.raised_at is None else max(0.0, seen.at - memory.raised_at)
    most = _most(situation)
    deadline = seen.deadline or 0.0
    left = max(0.0, situation.time_left or 0.0)
    attempts, failures = seen.attempts, seen.failures
    if situation.history is not None:
        attempts, failures = attempts + situation.history.attempts, failures + situation.history.failures
    outlook = Outlook(
        time=time,
        waiting=counts.ready + counts.delayed,
        running=grouped(seen.service.running, counts.leased),
        left=left - min(settings.reserve * deadline, 0.5 * left),
        ready_replicas=seen.replicas.observed,
        pending=seen.replicas.pending,
        still=max(_LEAST_STILL * startup, startup - starting_for),
        startup=startup,
        cost=memory.pace.cost(time.mean, time.deviation, seen.replicas.observed),
        repeats=1.0 / (1.0 - min(failures / (attempts + 5.0), _MOST_FAILURES)),
        most=most,
    )
    whole = max(deadline * (1.0 - settings.reserve) - startup, 1e-3)
    steady = math.ceil(min(outlook.per_item(max(1, situation.current)) * _pile(situation) / whole, 1e9) - 1e-6)
    known = time.weight
    return Plan(outlook, known, min(max(1, steady), most), most)


def startup_of(situation: Situation) -> float:
    """Seconds from asking for a replica to its first item."""
    measured = situation.observation.startup
    if measured is None and situation.history is not None:
        measured = situation.history.startup
    return _DEFAULT_STARTUP if measured is None else measured


def recalled(memory: Memory) -> BaseModel:
    """The law's memory as ``planned`` takes it."""
    return recall(_Memory, memory)


def needed(plan: Plan, confidence: float, least: int) -> int:
    """The greatest of steady pace and what the risk asks for."""
    fewest = plan.outlook.fewest(confidence, least)
    if fewest is None:
        fewest = plan.outlook.useful(least)
    return max(plan.steady, fewest)


def _pile(situation: Situation) -> int:
    counts = situation.observation.counts
    return max(counts.outstanding + counts.done + counts.dead, 1)


def _most(situation: Situation) -> int:
    return max(situation.minimum, min(situation.maximum, situation.observation.counts.outstanding))


def _guess(situation: Situation) -> int:
    guess = math.ceil(_GUESS * situation.maximum) if situation.initial is None else situation.initial
    if situation.item_timeout is not None and situation.initial is None:
        guess = max(guess, _demanded(situation, _OF_TIMEOUT * situation.item_timeout))
    return min(max(guess, 1, situation.minimum), _most(situation))


def _shown(situation: Situation) -> float:
    """The mean time that items have taken so far, finished or not: a lower bound of the mean."""
    service = situation.observation.service
    number = service.count + len(service.running)
    return (service.count * service.mean + sum(service.running)) / number if number else 0.0


def _demanded(situation: Situation, mean: float) -> int:
    """Replicas that the work left demands at the least, were the items to take ``mean``."""
    usable = max((situation.time_left or 0.0) - startup_of(situation), 1.0)
    demanded = math.ceil(min(mean * situation.observation.counts.outstanding / usable, 1e9))
    return min(demanded, _most(situation))


def _explore(situation: Situation, past: _Memory) -> Proposal:
    """Nothing has finished and no hint was given: a share of max, or more once the running items demand it."""
    shown = _shown(situation)
    wanted = max(_guess(situation), _demanded(situation, _OUTLAST * shown), min(situation.current, _most(situation)))
    reason = "exploring: how long an item takes is not known yet"
    if shown > 0:
        reason += f"; the running ones took {format_duration(situation.observation.service.running[0])} so far"
    return Proposal(wanted, reason, memory=past.model_dump())


def _without_deadline(situation: Situation, past: _Memory, plan: Plan | None) -> Proposal:
    start = situation.minimum if situation.initial is None else situation.initial
    wanted = min(max(start, 1 if situation.maximum else 0), _most(situation))
    eta = None if plan is None else _finite(plan.outlook.end(wanted))
    name = "min" if situation.initial is None else "initial"
    return Proposal(wanted, f"no deadline: holds at {name}", eta=eta, memory=past.model_dump())


def _last_items(situation: Situation, past: _Memory, plan: Plan) -> Proposal:
    """Who runs the last items cannot be helped by others, nor replaced without losing what it has done."""
    leased, left = situation.observation.counts.leased, situation.time_left or 0.0
    wanted = situation.clamp(max(1, min(situation.current, leased)))
    eta = plan.outlook.end(wanted)
    reason = f"the last {leased} items are in work"
    if eta > left:
        reason += f" and end about {format_duration(eta - left)} late"
    return Proposal(wanted, reason, eta <= left, _finite(eta), past.model_dump())


def _follow(situation: Situation, settings: DeadlineSettings, past: _Memory, plan: Plan) -> Proposal:
    counts, current, left = situation.observation.counts, situation.current, situation.time_left or 0.0
    outlook = plan.outlook
    # Replicas that would not make it faster are never asked for.
    top = min(max(outlook.useful(situation.minimum), plan.steady), plan.most)
    told = (
        f"{counts.outstanding} items of about {format_duration(outlook.time.mean)}, "
        f"{format_duration(max(left, 0.0))} left"
    )
    shortest = outlook.shortest()
    if shortest > left:
        late = format_duration(shortest - left)
        reason = f"{told}: even {plan.most} replicas finish about {late} late; does its best"
        if top < plan.most:
            reason += f", and more than {top} would not be faster"
        calm = past.model_copy(update={"calm_since": None})
        return Proposal(top, reason, False, _finite(shortest), calm.model_dump())
    risk = 1.0 - settings.confidence
    need = min(_tempered(situation, plan, needed(plan, 1.0 - risk, situation.minimum)), top)
    roomy = need
    if need < current:
        safer = needed(plan, 1.0 - risk / (1.0 + settings.slack), situation.minimum)
        roomy = min(_tempered(situation, plan, safer), top)
    too_many = current - roomy >= max(1.0, _LEAST_STEP_DOWN * current)
    at = situation.observation.at
    # A clock that stepped back starts the wait anew.
    calm_since = min(at, at if past.calm_since is None else past.calm_since) if too_many else None
    if need >= current:
        wanted, verdict = need, f"needs {need}"
    elif calm_since is not None and at - calm_since >= settings.patience:
        wanted, calm_since, verdict = roomy, None, f"needs {need}"
    else:
        wanted, verdict = min(current, top), f"needs {need}, keeps {current} in hand"
    if need == plan.steady:
        verdict += " (the steady pace)"
    memory = past.model_copy(update={"calm_since": calm_since}).model_dump()
    return Proposal(wanted, f"{told}: {verdict}", eta=_finite(outlook.end(max(1, wanted))), memory=memory)


def _tempered(situation: Situation, plan: Plan, need: int) -> int:
    """Between the guess and the need, nearer to the need the more is known; a hint or a history replaces the guess."""
    if situation.expected_item_time is not None or situation.history is not None:
        return need
    share = plan.known / (plan.known + _GUESS_WEIGHT)
    blended = math.ceil(math.pow(_guess(situation), 1.0 - share) * math.pow(need, share) - 0.5)
    return min(max(blended, _demanded(situation, _shown(situation))), plan.most)


def _finite(seconds: float) -> float | None:
    return seconds if math.isfinite(seconds) else None
