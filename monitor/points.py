"""From an Observation to points of the time series."""

from __future__ import annotations

from collections.abc import Mapping

from common.domain.forecast import Forecast
from common.domain.metrics import (
    ATTEMPTS,
    COST,
    COST_ERROR,
    CURRENT_SPENT,
    DESIRED_COST,
    FLOW,
    FORECAST,
    JOB_PROGRESS,
    PARALLELISM,
    PROGRESS_ERROR,
    QUEUE,
    QUEUE_WAIT,
    REPLICAS,
    SERVICE,
    TIME_PROGRESS,
    USAGE,
    Measurement,
    Point,
)
from common.domain.progress import Observation
from common.http.contracts import MonitoringInfo


def tags_of(info: MonitoringInfo) -> dict[str, str]:
    """The tags that tell of the submission beside its id."""
    told = {
        "name": info.name,
        "kind": info.kind.value,
        "law": info.law,
        "cluster": info.cluster,
        "namespace": info.namespace,
    }
    return {name: value for name, value in told.items() if value}


def points_of(observation: Observation, tags: Mapping[str, str], budget: float | None = None) -> list[Point]:
    """Every measurement of one moment. What is not known (time without a deadline, times of no items, cost without a
    price) is left out. ``budget``: money an hour that may be spent."""
    replicas, counts, service = observation.replicas, observation.counts, observation.service
    measured: list[tuple[Measurement, dict[str, float]]] = [
        (JOB_PROGRESS, {"value": observation.progress}),
        (PARALLELISM, {"value": replicas.observed}),
        (QUEUE, counts.model_dump(include=set(QUEUE.fields))),
        (REPLICAS, replicas.model_dump(include=set(REPLICAS.fields))),
        (FLOW, observation.model_dump(include=set(FLOW.fields))),
        (ATTEMPTS, _attempts(observation)),
    ]
    if observation.deadline:
        measured.append((TIME_PROGRESS, {"value": observation.time_progress}))
        measured.append((PROGRESS_ERROR, {"value": observation.error}))
    if service.count:
        measured.append((SERVICE, service.model_dump(include=set(SERVICE.fields))))
    if observation.price is not None:
        # What is asked for is paid for, whether it runs yet or not.
        cost = observation.price * (replicas.observed + replicas.pending)
        measured.append((CURRENT_SPENT, {"value": cost}))
        if budget is not None:
            measured.append((DESIRED_COST, {"value": budget}))
            measured.append((COST_ERROR, {"value": cost - budget}))
    if observation.spent is not None:
        measured.append((COST, {"so_far": observation.spent}))
    if observation.usage is not None:
        measured.append((USAGE, observation.usage.model_dump()))
    waits = {
        "p50": observation.queue_wait_p50,
        "p95": observation.queue_wait_p95,
        "p99": observation.queue_wait_p99,
        "oldest": observation.oldest_wait,
    }
    known = {name: wait for name, wait in waits.items() if wait is not None}
    if known:
        measured.append((QUEUE_WAIT, known))
    return [
        Point(measurement.name, observation.submission, observation.at, fields, dict(tags))
        for measurement, fields in measured
    ]


def forecast_points(forecast: Forecast, created_at: float, submission: str, tags: Mapping[str, str]) -> list[Point]:
    """What is expected, at the moment the forecast was made; nothing while nothing is known.

    ``created_at``: when the submission was accepted, Unix seconds.
    """
    since = max(0.0, forecast.at - created_at)
    told = {
        "eta_p50": None if forecast.p50 is None else max(0.0, forecast.p50 - since),
        "eta_p90": None if forecast.p90 is None else max(0.0, forecast.p90 - since),
        "end_p50": forecast.p50,
        "end_p90": forecast.p90,
        "deadline": forecast.deadline,
        "chance": forecast.chance,
        "late_by": forecast.late_by if forecast.deadline is not None else None,
    }
    measured = [(FORECAST, told if forecast.p50 is not None else {}), (COST, {"projected": forecast.projected})]
    known = [
        (measurement, {name: value for name, value in fields.items() if value is not None})
        for measurement, fields in measured
    ]
    return [
        Point(measurement.name, submission, forecast.at, fields, dict(tags)) for measurement, fields in known if fields
    ]


def _attempts(observation: Observation) -> dict[str, float]:
    return {
        "taken": observation.attempts,
        "failed": observation.failures - observation.expired,
        "expired": observation.expired,
        "released": observation.released,
        "retried": observation.retried,
    }
