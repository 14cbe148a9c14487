"""As many replicas as somebody has thought of beforehand."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from controller.laws import Law, LawSettings, Memory, Proposal, Situation


class FixedSettings(LawSettings):
    """``replicas``: how many; the most allowed when absent (flat out)."""

    replicas: int | None = Field(default=None, ge=0, description="The count; max when absent.")


class Fixed(Law[FixedSettings]):
    """Never changes; no more than items are left."""

    settings: ClassVar[type[LawSettings]] = FixedSettings
    summary: ClassVar[str] = "baseline: a fixed count of replicas"

    def decide(self, situation: Situation, settings: FixedSettings, memory: Memory) -> Proposal:  # noqa: ARG002
        wanted = situation.maximum if settings.replicas is None else settings.replicas
        counts = situation.observation.counts
        if counts.total is not None:
            wanted = min(wanted, counts.outstanding)
        return Proposal(situation.clamp(wanted), "a fixed count")
