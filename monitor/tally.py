"""Adds a measurement to what all the earlier ones come to."""

from __future__ import annotations

from common.domain.progress import Observation
from monitor.record import Tally


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
        peak_replicas=max(tally.peak_replicas, replicas),
        final_error=error,
        max_error=max(tally.max_error or error, error, key=_value) if error else tally.max_error,
        min_error=min(tally.min_error or error, error, key=_value) if error else tally.min_error,
    )


def _value(error: tuple[float, float]) -> float:
    return error[0]
