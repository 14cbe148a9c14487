"""What is expected of a submission: beside each decision while it runs, and before it is accepted. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from common.domain.capacity import Capacity
from common.domain.forecast import Forecast
from common.domain.progress import Counts, Decision, Observation
from common.domain.queues import QueueAddress
from common.domain.submission import Kind
from common.http.contracts import ForecastAnswer, ForecastRequest, ScalingRequest
from controller.arbiter import Demand, endangered, share
from controller.deciding import Asked, ask, demand_of, settle
from controller.forecast import forecast
from controller.lawbook import AnyLaw
from controller.laws import LawSettings
from controller.laws.deadline import DeadlineSettings
from controller.record import begin

_NEWCOMER = "(this one)"
"""Stands for the submission that is not there yet, and so has no id."""


def foresee(asked: Asked, decision: Decision, settings: LawSettings) -> Forecast | None:
    """The forecast after a decision; None when the law was not asked, for nothing was known well enough."""
    if asked.situation is None:
        return None
    if asked.record.request.kind is not Kind.BATCH:
        return Forecast(
            at=decision.at, wanted=decision.wanted, reason=decision.reason, feasible=asked.proposal.feasible
        )
    # A law that does not get what it asks for cannot keep to its plan.
    steered = isinstance(settings, DeadlineSettings) and decision.granted >= asked.replicas
    return forecast(
        asked.situation,
        decision.granted,
        reason=decision.reason,
        memory=asked.proposal.memory if isinstance(settings, DeadlineSettings) else None,
        settings=settings if isinstance(settings, DeadlineSettings) else None,
        steered=steered,
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
    )
    asked = ask(begin(as_scaled, now), seen, law, settings, None, now)
    if not isinstance(asked, Asked) or request.items is None or request.kind is not Kind.BATCH:
        nothing = request.items == 0 and request.kind is Kind.BATCH
        reason = "there is nothing to do" if nothing else "how many items there are is not known"
        foreseen = Forecast(at=now, reason=reason, p50=0.0 if nothing else None)
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
