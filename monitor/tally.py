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
        spent=_spent(tally.spent, previous, observation),
        peak_replicas=max(tally.peak_replicas, replicas),
        final_error=error,
        max_error=max(tally.max_error or error, error, key=_value) if error else tally.max_error,
        min_error=min(tally.min_error or error, error, key=_value) if error else tally.min_error,
    )


def _spent(spent: float | None, previous: Observation | None, observation: Observation) -> float | None:
    """Money spent so far. While no price is to be had, the last one or the next one stands in."""
    prices = [one.price for one in (previous, observation) if one is not None and one.price is not None]
    if not prices:
        return spent
    if previous is None:
        return spent or 0.0
    hours = max(0.0, observation.at - previous.at) / _HOUR
    paid = (previous.replicas.paid + observation.replicas.paid) / 2
    return (spent or 0.0) + paid * hours * sum(prices) / len(prices)


def _value(error: tuple[float, float]) -> float:
    return error[0]
