"""Holds a metric of the application at a target as a HorizontalPodAutoscaler does: replicas times value over target."""

from __future__ import annotations

import math
from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from common.domain.fields import Duration
from controller.laws.base import Law, LawSettings, Memory, Proposal, Situation, recall

_MOST = 1e9
_MOST_KEPT = 512


class MetricSettings(LawSettings):
    """``metric`` is one that workers report, or one of ``monitoring.queries``."""

    metric: str = Field(min_length=1, max_length=200, description="Name of the metric.")
    target: float = Field(gt=0, le=1e12, description="The value to hold it at.")
    kind: Literal["average", "total"] = Field(
        default="average",
        description="average: the value is one replica's; total: all share it, and target is one replica's part.",
    )
    falls: bool = Field(default=False, description="More replicas are needed when the metric is low, not when high.")
    tolerance: float = Field(default=0.1, ge=0, le=1, description="A share of the target that is near enough.")
    stabilization: Duration = Field(
        default=60.0, description="Replicas are given back when they were too many for so long."
    )


class _Memory(BaseModel):
    """``wanted``: what was wanted lately, as (Unix seconds, replicas)."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    wanted: tuple[tuple[float, int], ...] = ()


class Metric(Law[MetricSettings]):
    """See the module. Pods that do not run yet count as nothing; a metric that nobody tells holds the count."""

    settings: ClassVar[type[LawSettings]] = MetricSettings
    summary: ClassVar[str] = "holds a metric of workers or of Prometheus at a target, as an autoscaler does"

    def decide(self, situation: Situation, settings: MetricSettings, memory: Memory) -> Proposal:
        seen = situation.observation
        value = seen.metrics.get(settings.metric)
        if value is None:
            told = ", ".join(sorted(seen.metrics)[:5]) or "none"
            reason = f"holds: nobody tells the metric {settings.metric!r} (told: {told})"
            return Proposal(_awake(situation, situation.current), reason, memory=dict(memory))
        ratio = _ratio(max(value, 0.0), settings)
        if settings.kind == "total":
            wish = float(situation.current) if _near(ratio / max(situation.current, 1), settings) else ratio
        else:
            # The value is that of the replicas that run; what only starts has not changed it yet.
            base = seen.replicas.observed or situation.current
            wish = float(situation.current) if _near(ratio, settings) else base * ratio
        wanted = _awake(situation, situation.clamp(math.ceil(min(wish, _MOST) - 1e-9)))
        past = recall(_Memory, memory).wanted
        recent = tuple(one for one in past if seen.at - settings.stabilization < one[0] < seen.at)[-_MOST_KEPT:]
        held = max([wanted, *(min(count, situation.current) for _, count in recent)])
        reason = f"{settings.metric} is {value:.4g}, target {settings.target:g}: {wanted} wanted"
        if held > wanted:
            reason += f", {held} within the last {settings.stabilization:g} s"
        feasible = wish <= situation.maximum
        kept = _Memory(wanted=(*recent, (seen.at, wanted)))
        return Proposal(situation.clamp(held), reason, feasible, None, kept.model_dump(mode="json"))


def _ratio(value: float, settings: MetricSettings) -> float:
    if not settings.falls:
        return value / settings.target
    return settings.target / value if value > settings.target / _MOST else _MOST


def _near(ratio: float, settings: MetricSettings) -> bool:
    return abs(ratio - 1.0) <= settings.tolerance


def _awake(situation: Situation, count: int) -> int:
    """Who is asleep tells no metric: an item that waits wakes one."""
    return max(count, 1) if situation.observation.counts.outstanding > 0 and situation.maximum > 0 else count
