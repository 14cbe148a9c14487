"""What happens in a submission's life, as told to its user, and the names of the journals that keep it."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

EVENTS = "events"
"""Journal of Event entries: written by manager and controller, read by whoever shows them."""
DECISIONS = "decisions"
"""Journal of progress.Decision entries: written by the controller."""

SUBMISSION_RECORDS = "submission"
"""Kind of the records that hold the submissions: written by the manager."""
OBSERVATION_RECORDS = "observation"
"""Kind of the records that hold each submission's latest Observation: written by the monitor."""


class Event(BaseModel):
    """One line of the story. ``at`` is Unix seconds."""

    model_config = ConfigDict(frozen=True)

    at: float
    kind: Literal["state", "job", "pod", "scaling", "queue", "dashboard"]
    message: str
    warning: bool = False
