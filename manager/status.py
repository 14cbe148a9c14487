"""What GET answers about a submission, the original's keys and ours. Pure: record, observation, decision, time in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from common.domain.progress import Decision, Observation, Replicas
from common.domain.states import State
from common.domain.submission import Kind, Submission, SubmissionSpec
from manager.forecasting import expected_seconds, forecast
from manager.line import Place
from manager.standing import counts_of, progress_of
from manager.translate import old_control

_SECRET_NAME = re.compile(r"pass|secret|token|credential|private|(^|_|-)(key|auth)($|_|-)|api_?key", re.IGNORECASE)
_USER_INFO = re.compile(r"(?<=://)[^/@\s]+@")
_QUERY = re.compile(r"\?.*$", re.DOTALL)
HIDDEN = "(hidden)"


def full_status(
    submission: Submission,
    observation: Observation | None,
    decision: Decision | None,
    now: float,
    place: Place | None = None,
) -> dict[str, Any]:
    """The status object of one submission, with its forecast."""
    told = status(submission, observation, now, decision, place)
    return {**told, "forecast": forecast(submission, observation, decision, now)}


def status(
    submission: Submission,
    observation: Observation | None,
    now: float,
    decision: Decision | None = None,
    place: Place | None = None,
) -> dict[str, Any]:
    """The status object as a listing has it; ``place`` is that in the line of those that wait for their turn. Times are
    Unix seconds (the original's in its own form), durations seconds, shares 0 to 1."""
    ended = submission.state.terminal
    until = submission.finished_at if ended and submission.finished_at is not None else now
    elapsed = max(0.0, until - submission.created_at)
    deadline = submission.spec.deadline
    eta = None if ended else expected_seconds(observation, decision, now)
    return {
        "app_id": submission.id,
        "status": submission.state.value,
        "starting_time": _moment(submission.started_at or submission.created_at),
        "visualizer_url": submission.visualizer_url,
        "redis_ip": submission.redis_host,
        "redis_port": submission.redis_port,
        "id": submission.id,
        "name": submission.spec.name,
        "kind": submission.spec.kind.value,
        "form": submission.form,
        "owner": submission.owner,
        "cluster": submission.cluster,
        "state": submission.state.value,
        "intent": submission.intent.value,
        "reason": submission.reason or str(place or "") or _kept_waiting(submission, decision),
        "position": None if place is None else place.position,
        "warnings": list(submission.warnings),
        "law": submission.spec.law,
        "created_at": submission.created_at,
        "started_at": submission.started_at,
        "finished_at": submission.finished_at,
        "deadline": deadline,
        "target": None if submission.spec.target is None else submission.spec.target.model_dump(),
        "elapsed": elapsed,
        "time_progress": elapsed / deadline if deadline else 0.0,
        "progress": progress_of(submission, observation),
        "error": _error(submission, observation),
        "counts": counts_of(submission, observation).model_dump(),
        "replicas": (observation.replicas if observation and not ended else Replicas()).model_dump(),
        "throughput": observation.throughput if observation and not ended else 0.0,
        "observed_at": observation.at if observation else None,
        "eta": eta,
        "ends_at": None if eta is None else now + eta,
        "feasible": decision.feasible if decision and not ended else None,
        "deadline_met": submission.summary.deadline_met if submission.summary else None,
        "deadline_margin": submission.summary.deadline_margin if submission.summary else None,
        **(_outcome(submission, elapsed) if ended else {}),
    }


def shown_spec(spec: SubmissionSpec) -> dict[str, Any]:
    """The specification as anybody may read it: values that look like secrets are hidden."""
    document = spec.model_dump(mode="json", exclude_none=True)
    # A key of a secret is no secret; only its value is, and that is not here.
    document["env"] = {
        name: HIDDEN if isinstance(value, str) and _SECRET_NAME.search(name) else document["env"][name]
        for name, value in spec.env.items()
    }
    document["control"]["settings"] = _masked(document["control"]["settings"])
    document["monitoring"] = _masked(document["monitoring"])
    if spec.workload is not None:
        document["workload"]["options"] = _masked(document["workload"]["options"])
        if spec.workload.url is not None:
            document["workload"]["url"] = _without_secrets(spec.workload.url)
    return document


def _masked(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: HIDDEN if _SECRET_NAME.search(str(name)) else _masked(content) for name, content in value.items()}
    if isinstance(value, list):
        return [_masked(content) for content in value]
    return _without_secrets(value) if isinstance(value, str) and "://" in value else value


def _without_secrets(url: str) -> str:
    # Signed URLs carry their secret in the query.
    return _QUERY.sub(f"?{HIDDEN}", _USER_INFO.sub(f"{HIDDEN}@", url))


def _outcome(submission: Submission, elapsed: float) -> dict[str, Any]:
    summary = submission.summary
    strategy, heuristic = old_control(submission)
    return {
        "execution_time": summary.execution_time if summary else elapsed,
        "final_replicas": summary.final_replicas if summary else 0,
        "final_error": _stamped(summary.final_error) if summary else None,
        "max_error": _stamped(summary.max_error) if summary else None,
        "min_error": _stamped(summary.min_error) if summary else None,
        "scaling_strategy": strategy,
        "heuristic_options": heuristic,
        "replica_seconds": summary.replica_seconds if summary else 0.0,
        "spent": summary.spent if summary else None,
        "scalings": summary.scalings if summary else 0,
        "peak_replicas": summary.peak_replicas if summary else 0,
    }


def _kept_waiting(submission: Submission, decision: Decision | None) -> str:
    """Why none of the replicas that law and guard want is granted."""
    if submission.state is not State.ONGOING or decision is None or decision.granted or not decision.asked:
        return ""
    return f"no replica is granted: {decision.reason}"


def _error(submission: Submission, observation: Observation | None) -> float:
    if submission.state.terminal and submission.summary is not None and submission.summary.final_error is not None:
        return submission.summary.final_error[0]
    return observation.error if observation is not None else 0.0


def is_stream(submission: Submission) -> bool:
    """Whether items may come while it runs."""
    return submission.spec.kind is Kind.STREAM


def _stamped(value: tuple[float, float] | None) -> list[float | str] | None:
    return None if value is None else [value[0], _moment(value[1])]


def _moment(at: float) -> str:
    """The original's form of a time, but really in UTC."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
