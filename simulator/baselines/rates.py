"""Rules that divide the work left by a time: Dask's adaptive rule and a slack factor as in Jockey."""

from __future__ import annotations

import math
from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field

from common.domain.fields import Duration, PositiveDuration
from controller.laws import Law, LawSettings, Memory, Proposal, Situation, recall

_LEAST_TIME = 1.0
"""Seconds to divide by at least."""


def mean_item_time(situation: Situation, otherwise: float | None = None) -> float | None:
    """Mean seconds of the finished items; before there is one the hint, then ``otherwise``."""
    service = situation.observation.service
    if service.count:
        return service.mean
    return situation.expected_item_time if situation.expected_item_time is not None else otherwise


class AdaptiveSettings(LawSettings):
    """Dask's names. ``target_duration`` is 5 s there; the time left to the deadline when absent."""

    target_duration: PositiveDuration | None = Field(default=None, description="Finish what is there in this time.")
    wait_count: int = Field(default=3, ge=1, description="Decisions in a row that must want fewer before fewer come.")
    unknown_task_duration: Duration = Field(default=0.5, description="Of an item before one has finished.")


class _Wished(BaseModel):
    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    fewer: int = 0


class Adaptive(Law[AdaptiveSettings]):
    """ceil(occupancy / target_duration), at most one replica per item, down only after ``wait_count`` wishes.

    After ``distributed.deploy.Adaptive`` and ``Scheduler.adaptive_target`` (Dask 2024): occupancy is the number of
    items times their mean duration.
    """

    settings: ClassVar[type[LawSettings]] = AdaptiveSettings
    summary: ClassVar[str] = "baseline: Dask's adaptive rule"

    def decide(self, situation: Situation, settings: AdaptiveSettings, memory: Memory) -> Proposal:
        counts = situation.observation.counts
        mean = mean_item_time(situation, settings.unknown_task_duration) or 0.0
        duration = settings.target_duration or situation.time_left
        if duration is None:
            return Proposal(situation.current, "holds: neither target_duration nor deadline", memory=dict(memory))
        wanted = math.ceil(counts.outstanding * mean / max(duration, _LEAST_TIME))
        wanted = situation.clamp(min(max(wanted, 1 if counts.outstanding else 0), counts.outstanding))
        fewer = recall(_Wished, memory).fewer + 1 if wanted < situation.current else 0
        if wanted < situation.current and fewer < settings.wait_count:
            wanted = situation.current
        reason = f"{counts.outstanding} items of {mean:.3g} s in {duration:.0f} s"
        return Proposal(wanted, reason, memory=_Wished(fewer=fewer).model_dump())


class SlackSettings(LawSettings):
    """``slack`` multiplies the predicted work; ``dead_zone`` is the share of change below which nothing is done."""

    slack: float = Field(default=1.2, ge=1, le=10, description="Factor on the predicted work.")
    dead_zone: float = Field(default=0.05, ge=0, le=1, description="Changes by less than this share are left.")


class Slack(Law[SlackSettings]):
    """ceil(slack * work left / time left after a start-up); until an item has finished, a quarter of the most.

    The slack (1.2) and the dead zone are Jockey's (Ferguson et al., EuroSys 2012), its model of the job is not: here
    all items are alike, and the mean of the finished ones is what is predicted for the others.
    """

    settings: ClassVar[type[LawSettings]] = SlackSettings
    summary: ClassVar[str] = "baseline: a slack factor on the predicted work"

    def decide(self, situation: Situation, settings: SlackSettings, memory: Memory) -> Proposal:  # noqa: ARG002
        seen = situation.observation
        left = situation.time_left
        if left is None:
            return Proposal(situation.current, "holds: without a deadline there is nothing to divide by")
        items = seen.counts.outstanding
        mean = mean_item_time(situation)
        if mean is None:
            wanted = max(situation.current, math.ceil(situation.maximum / 4))
        else:
            usable = max(left - (seen.startup or 0.0), _LEAST_TIME)
            wanted = math.ceil(settings.slack * items * mean / usable)
            if abs(wanted - situation.current) < settings.dead_zone * situation.current:
                wanted = situation.current
        wanted = situation.clamp(min(max(wanted, 1 if items else 0), items))
        return Proposal(wanted, f"{items} items of {mean or 0:.3g} s with slack {settings.slack:g}, {left:.0f} s left")
