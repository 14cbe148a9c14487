"""One decision: observation -> law -> guard -> arbiter -> Decision and the record after it. Pure; Unix seconds.

``ask`` says what law and guard want, ``demand_of`` what that is to the arbiter of the cluster, ``settle`` writes down
what was granted. ``decide`` is all of it for a submission that has its cluster to itself.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace

from common.domain.progress import Decision, Observation
from common.domain.submission import Kind
from common.logging import get_logger
from controller.arbiter import Demand, Share
from controller.guard import Bounds, Granted, Past, grant, hold, staleness_limit
from controller.lawbook import AnyLaw
from controller.laws import LawSettings, Proposal, Situation
from controller.record import Scaling

log = get_logger(__name__)
_MOST_MEMORY = 262_144
"""Characters of JSON a law may remember."""
_ENOUGH = 5
"""Finished items from which on their mean time is believed."""
_LEAST_STANDING = 60.0
_STANDING_INTERVALS = 5.0
"""A demand that is not renewed for so many intervals, and at least so many seconds, does not count any more."""


@dataclass(frozen=True)
class Outcome:
    """The record after looking; ``decision`` is None when there was nothing to decide."""

    record: Scaling
    decision: Decision | None = None


def is_due(record: Scaling, now: float) -> bool:
    """Whether the next decision is due: one per interval; a clock that stepped back makes it due at once."""
    if record.decided_at is None:
        return True
    return not 0 <= now - record.decided_at < record.request.control.interval * 0.999


def is_over(observation: Observation) -> bool:
    """Whether every item is settled and no other can come: nothing is scaled any more."""
    return observation.counts.total is not None and observation.counts.outstanding == 0


@dataclass(frozen=True)
class Asked:
    """What the law proposes and the guard lets through, before the arbiter has its say."""

    record: Scaling
    observation: Observation
    proposal: Proposal
    granted: Granted
    bounds: Bounds
    situation: Situation | None
    """What the law was told; None when it was not asked."""

    @property
    def replicas(self) -> int:
        """The count asked for."""
        return self.granted.replicas


def decide(
    record: Scaling, observation: Observation, law: AnyLaw, settings: LawSettings, cap: int | None, now: float
) -> Outcome:
    """The next decision of a submission that shares its cluster with nobody. The caller asks only when one is due."""
    asked = ask(record, observation, law, settings, cap, now)
    return asked if isinstance(asked, Outcome) else settle(asked, None, now)


def ask(
    record: Scaling, observation: Observation, law: AnyLaw, settings: LawSettings, cap: int | None, now: float
) -> Asked | Outcome:
    """What law and guard ask for; an Outcome when there is nothing to decide any more."""
    record = noted(record, observation, now)
    request = record.request
    if request.kind is Kind.BATCH and is_over(observation):
        return Outcome(record.model_copy(update={"decided_at": now, "reason": "every item is settled"}))
    bounds = Bounds.of(request.replicas.min, request.replicas.max, cap)
    past = Past(record.desired, record.raised_at, record.changed_at)
    age = now - (record.seen_at if record.seen_at is not None else now)
    proposal = Proposal(record.desired, "", memory=record.memory)
    situation = None
    if age >= staleness_limit(request.control.interval):
        granted = hold(bounds, past, f"guard: the last observation is {age:.0f} s old, holds")
    elif not observation.cluster_available:
        granted = hold(bounds, past, "guard: the cluster does not answer, holds")
    else:
        situation = situation_of(record, observation, bounds)
        proposal = consult(law, situation, settings, record)
        granted = grant(proposal, bounds, request.control, replace(past, current=record.own), now)
    return Asked(record, observation, proposal, granted, bounds, situation)


def demand_of(asked: Asked, now: float) -> Demand:
    """What the arbiter must know of it."""
    record, seen = asked.record, asked.observation
    request = record.request
    is_batch = request.kind is Kind.BATCH
    most = min(asked.bounds.maximum, seen.counts.outstanding) if is_batch else asked.bounds.maximum
    return Demand(
        wanted=asked.replicas,
        minimum=asked.bounds.minimum,
        most=max(asked.replicas, most),
        holding=record.desired,
        early=max(0, most - asked.replicas) if _may_be_early(asked) else 0,
        requests=request.requests,
        priority=request.priority,
        deadline_at=None if seen.deadline is None or not is_batch else now + _finite(seen.deadline - seen.elapsed),
        work=work_left(asked) if is_batch else None,
        urgent=not is_batch,
        waiting_since=record.waiting_since,
        turn_until=record.turn_until,
        until=now + max(_LEAST_STANDING, _STANDING_INTERVALS * request.control.interval),
    )


def _may_be_early(asked: Asked) -> bool:
    """Whether it may get more than its law asks for: the law was asked, has only the deadline in mind, and no step is
    limited. One that does not know yet how long items take learns it the sooner."""
    control, counts = asked.record.request.control, asked.observation.counts
    is_free = control.max_step_up is None and control.cooldown_up == 0
    waiting = counts.ready + counts.delayed > 0
    return asked.record.request.law == "deadline" and is_free and waiting and asked.situation is not None


def work_left(asked: Asked) -> float | None:
    """Replica seconds that the outstanding items still need, None while nothing tells.

    What the items took so far, or are said to take, tells; and then so does the law, whose count is enough for as long
    as it expects. That contains replicas that wait for the last items to end, so the smaller is nearer to the truth.
    """
    seen, proposal = asked.observation, asked.proposal
    mean = _mean_time(asked)
    if mean is None:
        return None
    eta = proposal.eta if proposal.eta is not None and math.isfinite(proposal.eta) else None
    enough = math.inf if eta is None else max(0.0, eta) * max(0, proposal.wanted)
    ages = seen.service.running
    begun = sum(max(mean - age, 0.0) for age in ages) + mean * max(0, seen.counts.leased - len(ages))
    return min(enough, mean * (seen.counts.ready + seen.counts.delayed) + begun)


def _mean_time(asked: Asked) -> float | None:
    """Mean seconds of an item: as measured, else as earlier submissions or the user say."""
    service, request = asked.observation.service, asked.record.request
    if service.count >= _ENOUGH and _finite(service.mean) > 0:
        return service.mean
    if request.history is not None and request.history.service.count > 0:
        return request.history.service.mean
    return request.expected_item_time


def settle(asked: Asked, share: Share | None, now: float) -> Outcome:
    """The decision and the record after it; ``share`` is the arbiter's word, None where there is no arbiter."""
    record, seen, proposal = asked.record, asked.observation, asked.proposal
    replicas = asked.replicas if share is None else share.replicas
    said = (proposal.reason, asked.granted.reason, "" if share is None else share.reason)
    reason = "; ".join(part for part in said if part)
    changes = {
        "desired": replicas,
        "early": max(0, replicas - asked.replicas),
        "memory": dict(proposal.memory),
        "reason": reason,
        "decided_at": now,
    }
    if replicas != record.desired:
        changes["changed_at"] = now
        changes["scalings"] = record.scalings + 1
    if replicas > record.desired:
        changes["raised_at"] = now
    decision = Decision(
        at=now,
        law=record.request.law,
        wanted=proposal.wanted if isinstance(proposal.wanted, int) else asked.replicas,
        asked=asked.replicas,
        granted=replicas,
        previous=record.desired,
        reason=reason,
        feasible=proposal.feasible,
        eta=proposal.eta if proposal.eta is not None and math.isfinite(proposal.eta) else None,
        progress=_finite(seen.progress),
        error=_finite(seen.error),
        observed=seen.replicas.observed,
        pending=seen.replicas.pending,
        outstanding=seen.counts.outstanding,
        throughput=_finite(seen.throughput),
        service_time=_finite(seen.service.mean),
        observed_at=_finite(seen.at),
    )
    return Outcome(record.model_copy(update=changes), decision)


def situation_of(record: Scaling, observation: Observation, bounds: Bounds) -> Situation:
    """What the law may know."""
    request = record.request
    return Situation(
        observation=observation,
        kind=request.kind,
        minimum=bounds.minimum,
        maximum=bounds.maximum,
        current=record.own,
        interval=request.control.interval,
        initial=request.replicas.initial,
        target=request.target,
        expected_item_time=request.expected_item_time,
        item_timeout=request.item_timeout,
        history=request.history,
    )


def consult(law: AnyLaw, situation: Situation, settings: LawSettings, record: Scaling) -> Proposal:
    """Ask the law. One that raises, or remembers what is no plain data, holds and keeps its old memory."""
    try:
        proposal = law.decide(situation, settings, record.memory)
        memory = json.dumps(dict(proposal.memory), allow_nan=False)
    except Exception as error:  # noqa: BLE001 - a user's law is foreign code and may raise anything
        log.warning("law_failed", law=record.request.law, error=f"{type(error).__name__}: {error}")
        reason = f"the law {record.request.law} failed ({type(error).__name__}: {error}), holds"
        return Proposal(situation.current, reason, memory=record.memory)
    if len(memory) > _MOST_MEMORY:
        reason = f"{proposal.reason}; its memory of {len(memory)} characters is too large and was not kept"
        return replace(proposal, reason=reason, memory=record.memory)
    return replace(proposal, memory=json.loads(memory))


def noted(record: Scaling, observation: Observation, now: float) -> Scaling:
    """The record after seeing this observation, which may be the same as last time."""
    at = _finite(observation.at)
    if at != record.observed_at or record.seen_at is None or record.seen_at > now:
        return record.model_copy(update={"observed_at": at, "seen_at": now})
    return record


def _finite(value: float) -> float:
    return value if math.isfinite(value) else 0.0
