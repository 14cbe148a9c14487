"""What is told of a submission's expected end: while it runs, after it, and before there is one. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from common.domain.forecast import Forecast
from common.domain.progress import Decision, Observation, Replicas
from common.domain.submission import Submission, SubmissionSpec
from common.http.contracts import ForecastAnswer
from manager.standing import counts_of, progress_of

_HOUR = 3600.0
_QUANTILES = ("p5", "p10", "p50", "p90", "p95")


def expected_seconds(observation: Observation | None, decision: Decision | None, now: float) -> float | None:
    """Seconds until the end: what the last decision expects, else what is left at the measured rate, else None."""
    if decision is not None and decision.forecast is not None and decision.forecast.p50 is not None and observation:
        accepted_at = observation.at - observation.elapsed
        return max(0.0, accepted_at + decision.forecast.p50 - now)
    if decision is not None and decision.eta is not None:
        return max(0.0, decision.at + decision.eta - now)
    if observation is None or observation.counts.total is None:
        return None
    if observation.counts.outstanding == 0:
        return 0.0
    if observation.throughput <= 0:
        return None
    return max(0.0, observation.at + observation.counts.outstanding / observation.throughput - now)


def forecast(
    submission: Submission, observation: Observation | None, decision: Decision | None, now: float
) -> dict[str, Any]:
    """When it is expected to end, whether in time, at what cost, and how many replicas are wanted why. None: not known
    (yet)."""
    if submission.state.terminal:
        return _fact(submission, observation, decision, now)
    eta = expected_seconds(observation, decision, now)
    foreseen = decision.forecast if decision is not None else None
    replicas = observation.replicas if observation else Replicas()
    rate = observation.throughput if observation else 0.0
    return {
        "at": now,
        "state": submission.state.value,
        "progress": progress_of(submission, observation),
        "outstanding": counts_of(submission, observation).outstanding,
        "rate": rate,
        "rate_per_replica": rate / replicas.observed if replicas.observed else None,
        **_expected(foreseen, submission.created_at, submission.spec.deadline, None if eta is None else now + eta),
        "made_at": None if foreseen is None else foreseen.at,
        "age": None if foreseen is None else max(0.0, now - foreseen.at),
        "cost": _cost(foreseen, _spent(observation, foreseen)),
        "eta": eta,
        "feasible": decision.feasible if decision else None,
        "basis": _basis(eta, decision),
        "replicas": _wanted(submission.spec, replicas, decision),
    }


def planned(spec: SubmissionSpec, items: int | None, answer: ForecastAnswer, now: float) -> dict[str, Any]:
    """The same for a submission that were accepted now."""
    foreseen = answer.forecast
    return {
        "at": now,
        "state": "not submitted",
        "progress": 0.0,
        "outstanding": items,
        "rate": 0.0,
        "rate_per_replica": None,
        **_expected(foreseen, now, spec.deadline, None if foreseen.p50 is None else now + foreseen.p50),
        "made_at": now,
        "age": 0.0,
        "cost": _cost(foreseen, _Spent()),
        "eta": foreseen.p50,
        "feasible": None if foreseen.p50 is None else foreseen.feasible,
        "basis": "nothing is known of how long it takes" if foreseen.p50 is None else "the plan",
        "fits": answer.fits,
        "endangered": list(answer.endangered),
        "capacity": None if answer.capacity is None else answer.capacity.model_dump(exclude_none=True),
        "replicas": {
            **Replicas().model_dump(),
            "wanted": answer.wanted,
            "granted": answer.granted,
            "law": answer.law,
            "reason": foreseen.reason,
            "decided_at": None,
        },
    }


def _fact(
    submission: Submission, observation: Observation | None, decision: Decision | None, now: float
) -> dict[str, Any]:
    """An end that is no more expected, but known."""
    summary, spec = submission.summary, submission.spec
    took = None if submission.finished_at is None else submission.finished_at - submission.created_at
    met = None if summary is None or summary.deadline_met is None else float(summary.deadline_met)
    known = Forecast(at=now, p5=took, p10=took, p50=took, p90=took, p95=took, chance=met, feasible=True)
    spent = _Spent() if summary is None else _Spent(summary.replica_seconds, summary.spent)
    return {
        "at": now,
        "state": submission.state.value,
        "progress": progress_of(submission, observation),
        "outstanding": counts_of(submission, observation).outstanding,
        "rate": 0.0,
        "rate_per_replica": None,
        **_expected(known, submission.created_at, spec.deadline, submission.finished_at),
        "made_at": now,
        "age": 0.0,
        "cost": _costs(_Spent(0.0, None if spent.money is None else 0.0), spent, spent, None),
        "eta": None,
        "feasible": None,
        "basis": "it has ended",
        "replicas": _wanted(spec, observation.replicas if observation else Replicas(), decision),
    }


def _expected(
    foreseen: Forecast | None, accepted_at: float, deadline: float | None, ends_at: float | None
) -> dict[str, Any]:
    deadline_at = None if deadline is None else accepted_at + deadline
    finish = {name: None if foreseen is None else getattr(foreseen, name) for name in _QUANTILES}
    return {
        "finish": finish,
        "finish_at": {name: None if value is None else accepted_at + value for name, value in finish.items()},
        "ends_at": ends_at,
        "deadline_at": deadline_at,
        "margin": None if deadline_at is None or ends_at is None else deadline_at - ends_at,
        "chance": None if foreseen is None else foreseen.chance,
        "late_by": None if foreseen is None else foreseen.late_by,
    }


@dataclass(frozen=True)
class _Spent:
    """Replica seconds and the money for them; None: not known."""

    seconds: float | None = 0.0
    money: float | None = None


def _spent(observation: Observation | None, foreseen: Forecast | None) -> _Spent:
    """So far: as measured last. The money is told beside the forecast where only the law knows a price."""
    if observation is None:
        return _Spent()
    money, price = observation.spent, None if foreseen is None else foreseen.price
    if money is None and price is not None:
        money = price * observation.replica_seconds / _HOUR
    return _Spent(observation.replica_seconds, money)


def _cost(foreseen: Forecast | None, so_far: _Spent) -> dict[str, Any]:
    """What is still to be spent, what has been, and what it will have come to."""
    if foreseen is None or foreseen.replica_seconds is None:
        return _costs(_Spent(None), so_far, _Spent(None), None if foreseen is None else foreseen.price)
    rest, price = foreseen.replica_seconds, foreseen.price
    to_finish = _Spent(rest, None if price is None else price * rest / _HOUR)
    return _costs(to_finish, so_far, _Spent(foreseen.spent_seconds + rest, foreseen.projected), price)


def _costs(to_finish: _Spent, so_far: _Spent, projected: _Spent, price: float | None) -> dict[str, Any]:
    return {
        **_shown(to_finish),
        "price": price,
        "so_far": _shown(so_far),
        "projected": _shown(projected),
    }


def _shown(spent: _Spent) -> dict[str, float | None]:
    hours = None if spent.seconds is None else spent.seconds / _HOUR
    return {"replica_seconds": spent.seconds, "replica_hours": hours, "money": spent.money}


def _wanted(spec: SubmissionSpec, replicas: Replicas, decision: Decision | None) -> dict[str, Any]:
    return {
        **replicas.model_dump(),
        "wanted": decision.wanted if decision else None,
        "granted": decision.granted if decision else None,
        "law": spec.law,
        "reason": decision.reason if decision else "no decision yet",
        "decided_at": decision.at if decision else None,
    }


def _basis(eta: float | None, decision: Decision | None) -> str:
    expects = decision is not None and (
        decision.eta is not None or (decision.forecast is not None and decision.forecast.p50 is not None)
    )
    if expects:
        return "the last decision"
    return "nothing measured yet" if eta is None else "the measured rate"
