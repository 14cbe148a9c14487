"""Where a submission's queue is."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

QUEUE_ADMIN = "asperathos"
"""The suite's user of a dedicated queue's Redis. The original's images are nobody in particular there."""
QUEUE_USER_PREFIX = "asp-"
"""What the names of all workers' Redis users begin with."""


class QueueAddress(BaseModel):
    """``shared``: our queue in the suite's Redis. ``dedicated``: the original's lists in a Redis at host:port, where
    ``password`` is the suite's own user's."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    submission: str
    kind: Literal["shared", "dedicated"] = "shared"
    host: str = ""
    port: int = 0
    password: str = Field(default="", repr=False)


def queue_user(submission: str) -> str:
    """The Redis user of this submission's workers."""
    return f"{QUEUE_USER_PREFIX}{submission}"
