"""The original's law (its ``default``): a fixed step up or down when the progress error leaves a band."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from controller.laws.base import Law, LawSettings, Memory, Proposal, Situation


class ThresholdSettings(LawSettings):
    """``error`` is progress minus time progress, both shares from 0 to 1."""

    trigger_up: float = Field(default=0.0, ge=0, description="Step up when late by at least this share.")
    trigger_down: float = Field(default=0.0, ge=0, description="Step down when ahead by at least this share.")
    actuation_size: int = Field(default=1, ge=1, le=10_000, description="Replicas added or removed at once.")


class Threshold(Law[ThresholdSettings]):
    """error > 0 and >= trigger_down: one step down; error < 0 and \\|error\\| >= trigger_up: one step up; else hold."""

    settings: ClassVar[type[LawSettings]] = ThresholdSettings
    summary: ClassVar[str] = "a fixed step when the progress error leaves a band (the original's default)"

    def decide(self, situation: Situation, settings: ThresholdSettings, memory: Memory) -> Proposal:  # noqa: ARG002
        error, replicas = situation.error, situation.current
        if situation.observation.deadline is None:
            return Proposal(replicas, "holds: without a deadline there is no error to act on")
        if error > 0 and error >= settings.trigger_down:
            wanted = max(replicas - settings.actuation_size, situation.minimum)
            return Proposal(wanted, f"error {error:+.3f} is ahead by {settings.trigger_down:g} or more: a step down")
        if error < 0 and -error >= settings.trigger_up:
            wanted = min(replicas + settings.actuation_size, situation.maximum)
            return Proposal(wanted, f"error {error:+.3f} is late by {settings.trigger_up:g} or more: a step up")
        return Proposal(replicas, f"holds: error {error:+.3f} is within the triggers")
