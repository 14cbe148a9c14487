"""What is expected of a submission: beside each decision while it runs, and before it is accepted. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from common.domain.capacity import Capacity
from common.domain.forecast import Forecast
from common.domain.progress import Counts, Decision, Observation
from common.domain.queues import QueueAddress
from common.domain.submission import MAX_REPLICAS, Kind
from common.http.contracts import ForecastAnswer, ForecastRequest, ScalingRequest
from controller.arbiter import Demand, endangered, share
from controller.deciding import Asked, ask, demand_of, settle
from controller.forecast import forecast
from controller.lawbook import AnyLaw
from controller.laws import LawSettings, Proposal, Situation
from controller.laws.cost import CostSettings
from controller.laws.deadline import DeadlineSettings
from controller.record import begin

_SHORTEST, _LONGEST = 10.0, 30.0
"""Seconds that a forecast is good for, if nothing happens: at least and at most; in between ..."""
_SHARE = 0.1
"""... this share of the time that is expected to be left: near the end a little matters."""
_MATERIAL = 0.1
"""Replicas that differ by this share from those foreseen with make another forecast."""
_HOUR = 3600.0
_NEWCOMER = "(this one)"
"""Stands for the submission that is not there yet, and so has no id."""


def latest(last: Forecast | None, asked: Asked, decision: Decision, settings: LawSettings) -> Forecast | None:
    """The forecast that stands beside a decision: the last one as long as it is good, else a new one.

    Forecasts cost several times what decisions do, and tell little that is new from one to the next.
    """
    if last is not None and _is_good(last, asked, decision, settings):
        return last
    return foresee(asked, decision, settings) or last


def _is_good(last: Forecast, asked: Asked, decision: Decision, settings: LawSettings) -> bool:
    seen = asked.observation
    age = seen.at - last.at
    if last.p50 is None or last.deadline != seen.deadline:
        return False
    if not 0 <= age < min(max(_SHORTEST, _SHARE * (last.p50 - seen.elapsed)), _LONGEST):
        return False
    if isinstance(settings, DeadlineSettings) and decision.feasible != last.feasible:
        return False
    return abs(decision.granted - last.wanted) < max(1.0, _MATERIAL * last.wanted)


def foresee(asked: Asked, decision: Decision, settings: LawSettings) -> Forecast | None:
    """The forecast after a decision; None when the law was not asked, for nothing was known well enough."""
    if asked.situation is None:
        return None
    seen = asked.observation
    if asked.record.request.kind is not Kind.BATCH:
        told = Forecast(at=seen.at, wanted=decision.wanted, reason=decision.reason, feasible=asked.proposal.feasible)
        return _priced(told, seen, settings)
    steering = _steering(asked, settings)
    if steering is None:
        told = forecast(asked.situation, decision.granted, reason=decision.reason, is_steered=False)
    else:
        told = forecast(
            steering.situation,
            decision.granted,
            reason=decision.reason,
            proposal=steering.proposal,
            settings=steering.settings,
            # A law that does not get what it asks for cannot keep to its plan.
            is_steered=decision.granted >= asked.replicas,
        )
    return _priced(told, seen, settings)


@dataclass(frozen=True)
class _Steering:
    """The deadline law at work: with these settings, in that situation, saying this."""

    situation: Situation
    settings: DeadlineSettings
    proposal: Proposal


def _steering(asked: Asked, settings: LawSettings) -> _Steering | None:
    """None when another law decides. Within a budget an hour the deadline law has fewer replicas to ask for."""
    situation, proposal = asked.situation, asked.proposal
    if situation is None:
        return None
    if isinstance(settings, DeadlineSettings):
        return _Steering(situation, settings, proposal)
    if not isinstance(settings, CostSettings) or settings.law != "deadline" or settings.total is not None:
        return None
    price = _price(situation.observation, settings)
    if price is None or settings.budget is None:
        return None
    affordable = max(situation.minimum, math.floor(min(settings.budget / price, MAX_REPLICAS)))
    return _Steering(
        replace(situation, maximum=min(situation.maximum, affordable)),
        DeadlineSettings.model_validate(settings.settings),
        replace(proposal, memory=proposal.memory.get("inner", {})),
    )


def _price(seen: Observation, settings: LawSettings) -> float | None:
    own = settings.price if isinstance(settings, CostSettings) else None
    return seen.price if own is None else own


def _priced(told: Forecast, seen: Observation, settings: LawSettings) -> Forecast:
    """With what it costs: in replica seconds, and in money where a price is known."""
    price = _price(seen, settings)
    if price is None:
        return told.model_copy(update={"spent_seconds": seen.replica_seconds, "spent": seen.spent})
    # What was measured went by the prices of its time.
    spent = price * seen.replica_seconds / _HOUR if seen.spent is None else seen.spent
    rest = told.replica_seconds
    return told.model_copy(
        update={
            "spent_seconds": seen.replica_seconds,
            "price": price,
            "spent": spent,
            "projected": None if rest is None else spent + price * rest / _HOUR,
        }
    )


def plan(
    request: ForecastRequest,
    law: AnyLaw,
    settings: LawSettings,
    demands: Mapping[str, Demand],
    capacity: Capacity | None,
    now: float,
) -> ForecastAnswer:
    """What would become of a submission accepted now, beside those whose demands stand."""
    as_scaled = ScalingRequest(
        **{name: getattr(request, name) for name in type(request).model_fields if name in ScalingRequest.model_fields},
        namespace="",
        job="",
        queue=QueueAddress(submission=_NEWCOMER),
    )
    seen = Observation(
        submission=_NEWCOMER,
        at=now,
        elapsed=0.0,
        deadline=request.deadline,
        target=request.target.latency if request.target is not None else None,
        counts=Counts(total=request.items, ready=request.items or 0),
        price=request.price,
    )
    asked = ask(begin(as_scaled, now), seen, law, settings, None, now)
    if not isinstance(asked, Asked) or request.items is None or request.kind is not Kind.BATCH:
        nothing = request.items == 0 and request.kind is Kind.BATCH
        reason = "there is nothing to do" if nothing else "how many items there are is not known"
        foreseen = Forecast(at=now, reason=reason, p50=0.0 if nothing else None, price=request.price)
        return ForecastAnswer(
            forecast=foreseen, law=request.law, wanted=request.initial, granted=request.initial, capacity=capacity
        )
    beside = {**demands, _NEWCOMER: demand_of(asked, now).model_copy(update={"holding": 0})}
    granted = None if capacity is None else share(_NEWCOMER, beside, capacity, now)
    lost = () if capacity is None else endangered(beside, _NEWCOMER, capacity, now)
    decision = settle(asked, granted, now).decision
    assert decision is not None
    foreseen_now = foresee(asked, decision, settings)
    assert foreseen_now is not None
    return ForecastAnswer(
        forecast=foreseen_now,
        law=request.law,
        wanted=decision.wanted,
        granted=decision.granted,
        endangered=tuple(id for id in lost if id != _NEWCOMER),
        fits=_NEWCOMER not in lost,
        capacity=capacity,
    )
