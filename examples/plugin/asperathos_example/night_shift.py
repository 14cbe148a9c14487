"""A law that leaves the cluster to others by day: few replicas in office hours, as many as allowed at night."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from controller.laws import Law, LawSettings, Memory, Proposal, Situation

_DAY = 24.0


class NightShiftSettings(LawSettings):
    """Hours are of the clock at ``utc_offset`` hours from UTC, from 0 to 24."""

    day_replicas: int = Field(default=1, ge=0, description="Replicas in office hours.")
    day_begins: float = Field(default=8.0, ge=0, le=_DAY)
    day_ends: float = Field(default=18.0, ge=0, le=_DAY)
    utc_offset: float = Field(default=0.0, ge=-12, le=14)


class NightShift(Law[NightShiftSettings]):
    """It asks no clock: the time is the observation's, so the law is pure and a test can choose the hour."""

    settings: ClassVar[type[LawSettings]] = NightShiftSettings
    summary: ClassVar[str] = "few replicas in office hours, as many as allowed at night"

    def decide(self, situation: Situation, settings: NightShiftSettings, memory: Memory) -> Proposal:  # noqa: ARG002
        hour = (situation.observation.at / 3600.0 + settings.utc_offset) % _DAY
        if settings.day_begins <= hour < settings.day_ends:
            return Proposal(settings.day_replicas, f"{hour:.1f} h is within office hours: {settings.day_replicas}")
        wanted = min(situation.maximum, situation.observation.counts.outstanding)
        return Proposal(wanted, f"{hour:.1f} h is night: as many as allowed")
