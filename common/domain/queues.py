"""Where a submission's queue is."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

QUEUE_USER_PREFIX = "asp-"
"""What the names of all workers' Redis users begin with."""


class QueueAddress(BaseModel):
    """``shared``: our queue in the suite's Redis. ``dedicated``: the original's lists in a Redis at host:port."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    submission: str
    kind: Literal["shared", "dedicated"] = "shared"
    host: str = ""
    port: int = 0
    password: str = ""


def queue_user(submission: str) -> str:
    """The Redis user of this submission's workers."""
    return f"{QUEUE_USER_PREFIX}{submission}"
