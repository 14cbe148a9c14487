"""What a law is given, what it answers, and what it must be."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from common.domain.fields import Strict
from common.domain.history import History
from common.domain.progress import Counts, Observation, Replicas, ServiceTimes
from common.domain.submission import Kind, Target

Memory = Mapping[str, Any]
"""What a law remembers from one decision to the next: plain JSON data with finite numbers."""

M = TypeVar("M", bound=BaseModel)
_SHORT = 1e-6
"""Seconds: the shortest duration that is told from none."""
_FAR = 1e12
"""Bound of every measured number: far beyond anything real, and its squares are still finite."""
_LAST_BUCKET = 160
"""Bucket of a histogram beyond which nothing real lies: its durations are above ``_FAR``."""


class LawSettings(Strict):
    """Base of a law's settings: immutable, an unknown field is a fault, numbers are finite."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


@dataclass(frozen=True)
class Situation:
    """Everything a law may know. Durations in seconds.

    The constructor cleans the observation, so that a law may rely on it: every number is finite, counts and
    durations are not negative, the median of an unknown is None. ``current`` is the last decision.
    """

    observation: Observation
    kind: Kind
    minimum: int
    maximum: int
    current: int
    interval: float
    initial: int | None = None
    """The count the user asked to start with."""
    target: Target | None = None
    """A stream's goal."""
    expected_item_time: float | None = None
    item_timeout: float | None = None
    history: History | None = None
    """What earlier submissions of the same name and image taught, None when there was none."""

    def __post_init__(self) -> None:
        minimum = max(0, self.minimum)
        maximum = max(minimum, self.maximum)
        cleaned = {
            "observation": _clean_observation(self.observation),
            "minimum": minimum,
            "maximum": maximum,
            "current": max(0, self.current),
            "interval": _size(self.interval) or 1.0,
            "expected_item_time": _positive(self.expected_item_time),
            "item_timeout": _positive(self.item_timeout),
            "history": None if self.history is None else _clean_history(self.history),
        }
        for name, value in cleaned.items():
            object.__setattr__(self, name, value)

    @property
    def error(self) -> float:
        """Progress minus time progress: above 0 ahead, below 0 late; 0 without a deadline."""
        return _number(self.observation.error)

    @property
    def time_left(self) -> float | None:
        """Seconds to the deadline, negative when it has passed, None without one."""
        deadline = self.observation.deadline
        return None if deadline is None else deadline - self.observation.elapsed

    def clamp(self, replicas: float) -> int:
        """The nearest whole count within the bounds."""
        return int(min(max(round(replicas), self.minimum), self.maximum))


@dataclass(frozen=True)
class Proposal:
    """What a law wants. The guard has the last word.

    ``eta`` is the expected number of seconds to the end at the wanted replicas, None when unknown. ``feasible`` is
    False when the goal cannot be met even at the most replicas.
    """

    wanted: int
    reason: str
    feasible: bool = True
    eta: float | None = None
    memory: Memory = field(default_factory=dict)


S = TypeVar("S", bound=LawSettings)


class Law(ABC, Generic[S]):
    """A control law: pure (no clock, no I/O, no state of its own) and total (an answer for every Situation).

    The same situation, settings and memory always give the same proposal. What is to be remembered goes into
    ``Proposal.memory`` and comes back with the next call; it starts out empty, and may be of an earlier version.
    """

    settings: ClassVar[type[LawSettings]] = LawSettings
    """The model of its settings."""
    summary: ClassVar[str] = ""
    """One line for users who look for a law."""

    @abstractmethod
    def decide(self, situation: Situation, settings: S, memory: Memory) -> Proposal:
        """How many replicas are wanted now."""


def recall(model: type[M], memory: Memory) -> M:
    """The memory as a model; a fresh one when it is empty or of a form not understood (any more)."""
    try:
        return model.model_validate(dict(memory))
    except ValidationError:
        return model()


def _number(value: object, otherwise: float = 0.0) -> float:
    if not isinstance(value, int | float) or not math.isfinite(value):
        return otherwise
    return min(max(float(value), -_FAR), _FAR)


def _size(value: object) -> float:
    return max(0.0, _number(value))


def _positive(value: object) -> float | None:
    size = 0.0 if value is None else _size(value)
    return max(size, _SHORT) if size > 0 else None


def _known(value: float | None) -> float | None:
    return _size(value) if value is not None and math.isfinite(value) else None


def _clean_observation(seen: Observation) -> Observation:
    return seen.model_copy(
        update={
            "at": _number(seen.at),
            "elapsed": _size(seen.elapsed),
            "deadline": _positive(seen.deadline),
            "target": _positive(seen.target),
            "counts": _clean_counts(seen.counts),
            "progress": _number(seen.progress),
            "throughput": _size(seen.throughput),
            "arrival_rate": _size(seen.arrival_rate),
            "service": _clean_service(seen.service),
            "queue_wait_p50": _known(seen.queue_wait_p50),
            "queue_wait_p95": _known(seen.queue_wait_p95),
            "oldest_wait": _known(seen.oldest_wait),
            "waits": _clean_buckets(seen.waits),
            "failures": int(_size(seen.failures)),
            "attempts": int(_size(seen.attempts)),
            "replicas": Replicas(**{name: int(_size(count)) for name, count in seen.replicas.model_dump().items()}),
            "startup": _known(seen.startup),
            "price": _positive(seen.price),
            "replica_seconds": _size(seen.replica_seconds),
            "spent": _known(seen.spent),
            "metrics": {name: float(value) for name, value in seen.metrics.items() if math.isfinite(value)},
        }
    )


def _clean_counts(counts: Counts) -> Counts:
    return Counts(
        total=None if counts.total is None else int(_size(counts.total)),
        **{name: int(_size(getattr(counts, name))) for name in ("ready", "delayed", "leased", "done", "dead")},
    )


def _clean_service(service: ServiceTimes) -> ServiceTimes:
    return ServiceTimes(
        count=int(_size(service.count)),
        running=tuple(sorted((_size(age) for age in service.running), reverse=True)),
        buckets=_clean_buckets(service.buckets),
        **{name: _size(getattr(service, name)) for name in ("mean", "deviation", "p50", "p95", "longest")},
    )


def _clean_buckets(buckets: Mapping[int, int]) -> dict[int, int]:
    return {
        min(max(int(bucket), 0), _LAST_BUCKET): int(_size(number)) for bucket, number in buckets.items() if number > 0
    }


def _clean_history(history: History) -> History | None:
    service = _clean_service(history.service)
    if service.count == 0:
        return None
    return history.model_copy(
        update={
            "service": service,
            "attempts": int(_size(history.attempts)),
            "failures": int(_size(history.failures)),
            "startup": _known(history.startup),
        }
    )
