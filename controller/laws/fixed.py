"""Laws that do not look at progress: hold, or follow a script."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, ClassVar

from pydantic import Field, field_validator

from common.domain.submission import MAX_REPLICAS
from controller.laws.base import Law, LawSettings, Memory, Proposal, Situation


class Nop(Law[LawSettings]):
    """Holds the present count, whatever happens."""

    summary: ClassVar[str] = "never changes the replicas"

    def decide(self, situation: Situation, settings: LawSettings, memory: Memory) -> Proposal:  # noqa: ARG002
        return Proposal(situation.current, "holds: the law nop never changes the replicas")


class ScriptedSettings(LawSettings):
    """``steps``: pairs of seconds since acceptance and the replicas from then on."""

    steps: tuple[tuple[Annotated[float, Field(ge=0)], Annotated[int, Field(ge=0, le=MAX_REPLICAS)]], ...] = Field(
        min_length=1, max_length=10_000, description="[[seconds, replicas], ...] in order of time."
    )

    @field_validator("steps")
    @classmethod
    def _in_order(cls, steps: tuple[tuple[float, int], ...]) -> tuple[tuple[float, int], ...]:
        if any(later[0] <= earlier[0] for earlier, later in pairwise(steps)):
            raise ValueError("each step must begin later than the one before")
        return steps


class Scripted(Law[ScriptedSettings]):
    """Follows a timetable of replicas."""

    settings: ClassVar[type[LawSettings]] = ScriptedSettings
    summary: ClassVar[str] = "follows a timetable of replicas"

    def decide(self, situation: Situation, settings: ScriptedSettings, memory: Memory) -> Proposal:  # noqa: ARG002
        elapsed = situation.observation.elapsed
        begun = [step for step in settings.steps if step[0] <= elapsed]
        if not begun:
            return Proposal(situation.current, f"holds: the first step begins at {settings.steps[0][0]:g} s")
        since, wanted = begun[-1]
        return Proposal(wanted, f"the script says {wanted} from {since:g} s on")
