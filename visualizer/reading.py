"""From what the other services answer to what the pages show: typed, bounded, and forgiving.

The documents of the manager are read field by field: one that is missing or of a wrong type is unknown here, and one
submission's odd document never hides the others. Times are Unix seconds, durations seconds, shares 0 to 1.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from common.domain.progress import Counts, Decision, Observation, Replicas
from common.domain.states import State
from visualizer.troubles import Trouble, troubles_of

T = TypeVar("T", bound=BaseModel)
_MOST_TEXT = 2000
_MOST_WARNINGS = 50
_MOST_SHOWN = 20
"""Entries of a list in a specification."""
_TERMINAL = frozenset(state.value for state in State if state.terminal)


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True)


class Row(_Document):
    """One submission as the list shows it. None means unknown, not zero."""

    id: str
    name: str
    state: str
    kind: str
    cluster: str
    reason: str
    created_at: float | None
    finished_at: float | None
    deadline: float | None
    target: float | None
    progress: float | None
    counts: Counts | None
    replicas: Replicas | None
    final_replicas: int | None
    ends_at: float | None
    """When it is expected to end."""
    feasible: bool | None
    chance: float | None = None
    """Probability of meeting the deadline."""
    deadline_met: bool | None
    deadline_margin: float | None
    owner: str = ""
    """The user who handed it in; empty for nobody in particular."""

    @property
    def terminal(self) -> bool:
        """Whether it will not change any more."""
        return self.state in _TERMINAL


class Happening(_Document):
    """One line of the story: ours, or what Kubernetes told."""

    at: float
    kind: str
    message: str
    warning: bool = False


class Outlook(_Document):
    """When it is expected to end (Unix seconds, quantiles), and what it costs: replica seconds and money, so far and
    expected to the end. Money is None where no price is known."""

    p10: float | None = None
    p50: float | None = None
    p90: float | None = None
    spent_seconds: float | None = None
    spent: float | None = None
    projected_seconds: float | None = None
    projected: float | None = None


class Details(_Document):
    """One submission as its page shows it, beside its row."""

    law: str
    cluster: str
    warnings: tuple[str, ...]
    execution_time: float | None
    scalings: int | None
    peak_replicas: int | None
    replica_seconds: float | None
    observation: Observation | None
    decisions: tuple[Decision, ...]
    events: tuple[Happening, ...]
    troubles: tuple[Trouble, ...]
    outlook: Outlook
    spec: dict[str, Any]
    """The specification for people: long texts and lists are cut."""


def rows_of(listing: object) -> dict[str, Row]:
    """The rows in the manager's GET /submissions: an object of status documents by id."""
    if not isinstance(listing, Mapping):
        return {}
    return {str(id): row_of(str(id), status) for id, status in listing.items()}


def row_of(id: str, status: object) -> Row:
    """The row in one status document."""
    document = status if isinstance(status, Mapping) else {}
    spec = _object(document, "spec")
    summary = _object(document, "summary")
    forecast = _object(document, "forecast")
    target = document.get("target", spec.get("target"))
    deadline = _number(document, "deadline")
    progress = _number(document, "progress")
    return Row(
        id=id,
        name=_text(document, "name") or _text(spec, "name"),
        state=_text(document, "status") or _text(document, "state") or "unknown",
        kind=_text(document, "kind") or ("stream" if target else "batch"),
        cluster=_text(document, "cluster"),
        reason=_text(document, "reason"),
        created_at=_first(_number(document, "created_at"), _moment(document, "starting_time")),
        finished_at=_number(document, "finished_at"),
        deadline=deadline if deadline is not None else _number(spec, "deadline"),
        target=_number(target, "latency") if isinstance(target, Mapping) else _number({"target": target}, "target"),
        progress=None if progress is None else min(1.0, max(0.0, progress)),
        counts=_model(document, "counts", Counts),
        replicas=_model(document, "replicas", Replicas),
        final_replicas=_whole(_first(_number(document, "final_replicas"), _number(summary, "final_replicas"))),
        # To the second: the manager counts it anew each time, and a page need not hear of milliseconds.
        ends_at=_rounded(_first(_number(document, "ends_at"), _number(forecast, "ends_at"))),
        feasible=_flag(forecast, "feasible") if "feasible" in forecast else _flag(document, "feasible"),
        chance=_number(forecast, "chance"),
        deadline_met=_flag(document, "deadline_met") if "deadline_met" in document else _flag(summary, "deadline_met"),
        deadline_margin=_first(_number(document, "deadline_margin"), _number(summary, "deadline_margin")),
        owner=_text(document, "owner"),
    )


def details_of(
    status: object,
    observation: Observation | None,
    decisions: Sequence[Decision],
    events: object,
    errors: object,
    spec: object = None,
) -> Details:
    """The rest of a submission's page, from the answers of manager, monitor and controller."""
    document = status if isinstance(status, Mapping) else {}
    summary = _object(document, "summary")
    return Details(
        law=_text(document, "law") or _text(document, "scaling_strategy") or (decisions[-1].law if decisions else ""),
        cluster=_text(document, "cluster"),
        warnings=_texts(document.get("warnings")),
        execution_time=_first(_number(document, "execution_time"), _number(summary, "execution_time")),
        scalings=_whole(_first(_number(document, "scalings"), _number(summary, "scalings"))),
        peak_replicas=_whole(_first(_number(document, "peak_replicas"), _number(summary, "peak_replicas"))),
        replica_seconds=_first(_number(document, "replica_seconds"), _number(summary, "replica_seconds")),
        observation=observation,
        decisions=tuple(decisions),
        events=_events(events),
        troubles=troubles_of([_as_text(error)[:_MOST_TEXT] for error in errors] if isinstance(errors, list) else []),
        outlook=_outlook(_object(document, "forecast")),
        spec=_shortened(spec) if isinstance(spec, Mapping) else {},
    )


def with_decision(row: Row, decision: Decision | None) -> Row:
    """The row with the forecast of the latest decision, while it runs."""
    if decision is None or row.terminal:
        return row
    ends_at = row.ends_at if decision.eta is None else decision.at + decision.eta
    foreseen = decision.forecast
    if foreseen is not None and foreseen.p50 is not None and row.created_at is not None:
        ends_at = row.created_at + foreseen.p50
    feasible = decision.feasible if row.feasible is None else row.feasible
    chance = row.chance if foreseen is None or foreseen.chance is None else round(foreseen.chance, 2)
    return row.model_copy(update={"ends_at": ends_at, "feasible": feasible, "chance": chance})


def with_observation(row: Row, observation: Observation | None) -> Row:
    """The row with what the monitor measured, where the manager does not say it."""
    if observation is None:
        return row
    return row.model_copy(
        update={
            "progress": observation.progress if row.progress is None else row.progress,
            "counts": row.counts or observation.counts,
            "replicas": row.replicas or observation.replicas,
            "deadline": observation.deadline if row.deadline is None else row.deadline,
        }
    )


def _outlook(forecast: Mapping[str, Any]) -> Outlook:
    at, cost = _object(forecast, "finish_at"), _object(forecast, "cost")
    so_far, projected = _object(cost, "so_far"), _object(cost, "projected")
    return Outlook(
        p10=_rounded(_number(at, "p10")),
        p50=_rounded(_number(at, "p50")),
        p90=_rounded(_number(at, "p90")),
        spent_seconds=_rounded(_number(so_far, "replica_seconds")),
        spent=_number(so_far, "money"),
        projected_seconds=_rounded(_number(projected, "replica_seconds")),
        projected=_number(projected, "money"),
    )


def _shortened(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _shortened(content) for name, content in value.items()}
    if isinstance(value, list | tuple):
        cut = [_shortened(content) for content in value[:_MOST_SHOWN]]
        return cut if len(value) <= _MOST_SHOWN else [*cut, f"... and {len(value) - _MOST_SHOWN} more"]
    if isinstance(value, str) and len(value) > _MOST_TEXT:
        return f"{value[:_MOST_TEXT]}..."
    return value if value is None or isinstance(value, str | bool | int | float) else str(value)


def _events(answer: object) -> tuple[Happening, ...]:
    listed = answer.get("events") if isinstance(answer, Mapping) else answer
    found: list[Happening] = []
    for entry in listed if isinstance(listed, list) else []:
        try:
            found.append(Happening.model_validate(entry))
        except ValidationError:
            continue
    return tuple(found)


def _object(document: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = document.get(name)
    return value if isinstance(value, Mapping) else {}


def _text(document: Mapping[str, Any], name: str) -> str:
    value = document.get(name)
    return value[:_MOST_TEXT] if isinstance(value, str) else ""


def _texts(value: object) -> tuple[str, ...]:
    if not isinstance(value, list | tuple):
        return ()
    return tuple(_as_text(entry)[:_MOST_TEXT] for entry in value[-_MOST_WARNINGS:])


def _as_text(entry: object) -> str:
    if isinstance(entry, Mapping):
        return ", ".join(f"{name}: {value}" for name, value in entry.items())
    return str(entry)


def _number(document: Mapping[str, Any], name: str) -> float | None:
    value = document.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)


def _flag(document: Mapping[str, Any], name: str) -> bool | None:
    value = document.get(name)
    return value if isinstance(value, bool) else None


def _moment(document: Mapping[str, Any], name: str) -> float | None:
    """A time written as a number or as ISO 8601; without an offset it is UTC."""
    value = document.get(name)
    if not isinstance(value, str):
        return _number(document, name)
    try:
        parsed = datetime.fromisoformat(value)
    except ValueError:
        return None
    return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()


def _model(document: Mapping[str, Any], name: str, model: type[T]) -> T | None:
    value = document.get(name)
    if not isinstance(value, Mapping):
        return None
    try:
        return model.model_validate(value)
    except ValidationError:
        return None


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(round(value))


def _first(*values: float | None) -> float | None:
    return next((value for value in values if value is not None), None)
