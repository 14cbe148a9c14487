"""What others tell of a submission: prices, and metrics that workers do not report. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from common.domain.progress import Observation


@dataclass(frozen=True)
class Told:
    """``price`` of a replica and hour, ``metrics`` by name, and what could not be had, empty when all could."""

    price: float | None = None
    metrics: Mapping[str, float] | None = None
    trouble: str = ""


def with_told(observation: Observation, told: Told) -> Observation:
    """The observation with what was told from outside. What workers report under the same name is replaced."""
    metrics = {**observation.metrics, **told.metrics} if told.metrics else observation.metrics
    return observation.model_copy(update={"price": told.price, "metrics": metrics})
