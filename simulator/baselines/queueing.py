"""Square-root staffing for streams."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import ClassVar

from pydantic import Field

from controller.laws import Law, LawSettings, Memory, Proposal, Situation
from simulator.baselines.rates import mean_item_time


class SquareRootSettings(LawSettings):
    """``beta`` is the safety in square roots of the load; the normal quantile of the target's percentile if absent."""

    beta: float | None = Field(default=None, ge=0, le=20)


class SquareRoot(Law[SquareRootSettings]):
    """ceil(R + beta sqrt(R)), R being arrivals per second times mean service time (Halfin and Whitt, 1981)."""

    settings: ClassVar[type[LawSettings]] = SquareRootSettings
    summary: ClassVar[str] = "baseline: square-root staffing (streams)"

    def decide(self, situation: Situation, settings: SquareRootSettings, memory: Memory) -> Proposal:  # noqa: ARG002
        seen = situation.observation
        mean = mean_item_time(situation, 1.0) or 0.0
        load = seen.arrival_rate * mean
        share = 0.95 if situation.target is None else situation.target.percentile / 100
        beta = NormalDist().inv_cdf(share) if settings.beta is None else settings.beta
        wanted = situation.clamp(max(1, math.ceil(load + beta * math.sqrt(load))))
        return Proposal(wanted, f"a load of {load:.2f} and {beta:.2f} square roots of it")
