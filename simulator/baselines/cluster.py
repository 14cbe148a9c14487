"""What Kubernetes users have today: KEDA's ScaledJob and the HorizontalPodAutoscaler."""

from __future__ import annotations

import enum
import math
from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field

from common.domain.fields import Duration
from controller.laws import Law, LawSettings, Memory, Proposal, Situation, recall


class Strategy(enum.StrEnum):
    """KEDA's scaling strategies."""

    DEFAULT = "default"
    CUSTOM = "custom"
    ACCURATE = "accurate"
    EAGER = "eager"


class ScaledJobSettings(LawSettings):
    """KEDA's names. ``target_value``: items a Job is started for (one each by default)."""

    target_value: float = Field(default=1.0, gt=0, description="Items per Job.")
    running_job_percentage: float = Field(default=1.0, ge=0, description="custom: customScalingRunningJobPercentage.")
    queue_length_deduction: int = Field(default=0, ge=0, description="custom: customScalingQueueLengthDeduction.")


class ScaledJob(Law[ScaledJobSettings]):
    """How many Jobs are to exist: those there are and those that KEDA would create now.

    After ``pkg/scaling/executor/scale_jobs.go`` (KEDA 2.15). Its Jobs do one item each, so the plant must be of single
    use. For ``default`` and ``custom`` the queue's length includes what is in work, for the others it does not, as
    KEDA's documentation asks for.
    """

    settings: ClassVar[type[LawSettings]] = ScaledJobSettings
    summary: ClassVar[str] = "baseline: KEDA's ScaledJob"

    def __init__(self, strategy: Strategy) -> None:
        self._strategy = strategy

    def decide(self, situation: Situation, settings: ScaledJobSettings, memory: Memory) -> Proposal:  # noqa: ARG002
        counts, replicas = situation.observation.counts, situation.observation.replicas
        waiting = counts.ready + counts.delayed
        pending = replicas.pending
        existing = replicas.observed + pending
        most = situation.maximum
        counts_leased = self._strategy in (Strategy.DEFAULT, Strategy.CUSTOM)
        length = waiting + (counts.leased if counts_leased else 0)
        scale = min(most, math.ceil(length / settings.target_value))
        if self._strategy is Strategy.DEFAULT:
            created = scale - existing
        elif self._strategy is Strategy.CUSTOM:
            counted = math.floor(existing * settings.running_job_percentage)
            created = min(scale - counted - settings.queue_length_deduction, most)
        elif self._strategy is Strategy.ACCURATE:
            created = most - existing if scale + existing > most else scale - pending
        else:
            created = min(most - existing, max(0, scale - pending))
        wanted = existing + max(0, min(created, most - existing))
        return Proposal(wanted, f"{length} items, {existing} Jobs, {max(0, created)} more")


class AverageUtilizationSettings(LawSettings):
    """The HorizontalPodAutoscaler's defaults."""

    target: float = Field(default=0.7, gt=0, le=1, description="Busy share of the replicas to hold.")
    tolerance: float = Field(default=0.1, ge=0, le=1, description="Relative deviation that is left alone.")
    stabilization: Duration = Field(default=300.0, description="Down to the most that was wanted in this time.")


class _Recommended(BaseModel):
    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    past: tuple[tuple[float, int], ...] = ()


class AverageUtilization(Law[AverageUtilizationSettings]):
    """ceil(running * utilisation / target), with tolerance and stabilised scale-down; at most double or four more.

    After the documented algorithm of ``autoscaling/v2`` with its default behaviour. Utilisation is the busy share of
    the running replicas, so it cannot tell of what waits.
    """

    settings: ClassVar[type[LawSettings]] = AverageUtilizationSettings
    summary: ClassVar[str] = "baseline: a HorizontalPodAutoscaler on utilisation"

    def decide(self, situation: Situation, settings: AverageUtilizationSettings, memory: Memory) -> Proposal:
        seen = situation.observation
        running = seen.replicas.observed
        if running == 0:
            return Proposal(max(1, situation.current), "nothing runs yet", memory=dict(memory))
        ratio = min(1.0, seen.counts.leased / running) / settings.target
        # Replicas that do not run yet are taken for idle when scaling up, as the HPA does with pods not ready.
        if ratio > 1.0 and seen.replicas.pending:
            ratio = max(1.0, ratio * running / (running + seen.replicas.pending))
        count = running + (seen.replicas.pending if ratio > 1.0 else 0)
        desired = situation.current if abs(ratio - 1.0) <= settings.tolerance else math.ceil(count * ratio)
        desired = min(desired, max(2 * situation.current, situation.current + 4))
        past = tuple(
            one for one in recall(_Recommended, memory).past if seen.at - settings.stabilization < one[0] <= seen.at
        )
        past = (*past, (seen.at, desired))[-1000:]
        if desired < situation.current:
            desired = min(situation.current, max(count for _, count in past))
        wanted = situation.clamp(max(desired, 1))
        reason = f"{ratio * settings.target:.0%} busy, target {settings.target:.0%}"
        return Proposal(wanted, reason, memory=_Recommended(past=past).model_dump())
