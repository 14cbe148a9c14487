"""Adds a measurement to what all the earlier ones come to."""

from __future__ import annotations

from common.domain.progress import Observation
from monitor.record import Tally

_HOUR = 3600.0


def counted(tally: Tally, previous: Observation | None, observation: Observation) -> Tally:
    """The tally with one observation more.

    Replicas between two measurements are taken to change evenly, however far apart the two are: nothing is left out
    and nothing counted twice when measuring paused.
    """
    replicas = observation.replicas.observed
    between = 0.0
    if previous is not None:
        seconds = max(0.0, observation.at - previous.at)
        between = (previous.replicas.observed + replicas) / 2 * seconds
    error = (observation.error, observation.at) if observation.deadline else None
    return Tally(
        measurements=tally.measurements + 1,
        replica_seconds=tally.replica_seconds + between,
        spent=_spent(tally, between, observation.price),
        peak_replicas=max(tally.peak_replicas, replicas),
        final_error=error,
        max_error=max(tally.max_error or error, error, key=_value) if error else tally.max_error,
        min_error=min(tally.min_error or error, error, key=_value) if error else tally.min_error,
    )


def with_total(observation: Observation, tally: Tally) -> Observation:
    """The observation with what was spent until then."""
    return observation.model_copy(update={"replica_seconds": tally.replica_seconds, "spent": tally.spent})


def _spent(tally: Tally, between: float, price: float | None) -> float | None:
    """Money so far. What ran before a price was known is taken to have cost as much as then; while none is to be had
    any more, nothing is added."""
    if price is None:
        return tally.spent
    before = tally.replica_seconds * price / _HOUR if tally.spent is None else tally.spent
    return before + between * price / _HOUR


def _value(error: tuple[float, float]) -> float:
    return error[0]
