"""What is expected of a submission from now on. Seconds, counted from its acceptance where not said otherwise."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Forecast(BaseModel):
    """The expected end of a submission, as seen at ``at`` (Unix seconds of the observation it was made from).

    ``p5`` to ``p95`` are quantiles of the finish time in seconds from acceptance, None while nothing is known to tell
    them from. They foresee what the law will do: one that holds a deadline uses the time it has.
    """

    model_config = ConfigDict(frozen=True)

    at: float
    p5: float | None = None
    p10: float | None = None
    p50: float | None = None
    p90: float | None = None
    p95: float | None = None
    chance: float | None = None
    """Probability (0 to 1) of meeting the deadline; None without a deadline, or while nothing is known."""
    wanted: int = 0
    """Replicas wanted now."""
    reason: str = ""
    """Why so many."""
    feasible: bool = True
    """False when the deadline is expected to be missed even at the most replicas."""
    late_by: float = 0.0
    """Seconds by which it is then expected to be missed."""
    deadline: float | None = None
    """The deadline that ``chance`` and ``late_by`` go by, in seconds from acceptance."""
    replica_seconds: float | None = None
    """Replica seconds expected from now to the end: the cost to finish. None while unknown."""
    spent_seconds: float = 0.0
    """Replica seconds spent so far."""
    price: float | None = None
    """Money that a replica costs in an hour; None while no price is known, as then all money is."""
    spent: float | None = None
    """Money spent so far."""
    projected: float | None = None
    """Money that it will have come to at the end."""
