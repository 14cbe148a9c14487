"""Progress of a training by its loss: a loss falls by factors, so progress is measured on a logarithmic scale."""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from monitor.monitors import ProgressReading

Positive = Annotated[float, Field(gt=0)]


class ConvergenceSettings(BaseModel):
    """``start`` and ``goal`` are losses; workers report theirs with ``worker.report("loss", value)``."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    start: Positive
    goal: Positive
    metric: str = "loss"

    @model_validator(mode="after")
    def _falls(self) -> ConvergenceSettings:
        if self.goal >= self.start:
            raise ValueError("goal must be below start")
        return self


class Convergence:
    """The share of the way from the starting loss to the goal, of the worker that is furthest behind."""

    settings = ConvergenceSettings

    def progress(self, reading: ProgressReading, settings: ConvergenceSettings) -> float:
        """From 0 to 1; the last answer again while nobody has reported a loss."""
        losses = [loss for loss in reading.reported.get(settings.metric, {}).values() if 0 < loss < math.inf]
        if not losses:
            return reading.previous
        return math.log(settings.start / max(losses)) / math.log(settings.start / settings.goal)
