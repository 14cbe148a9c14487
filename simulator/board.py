"""The demands of all submissions, as the controllers keep them for the arbiter: without waiting for each other."""

from __future__ import annotations

from common.domain.capacity import Capacity
from controller.arbiter import SHARED, Demand, aged, reminder, share
from controller.deciding import Asked, Outcome, demand_of, settle


class Board:
    """Of a cluster with room for so many replicas; None: no arbiter, everybody gets what they ask for."""

    def __init__(self, capacity: int | None = None) -> None:
        self._capacity = None if capacity is None else Capacity(replicas=capacity)
        self._demands: dict[str, Demand] = {}

    def settle(self, name: str, asked: Asked, now: float) -> Outcome:
        """The outcome of a decision beside the demands of the others."""
        if self._capacity is None:
            return settle(asked, None, now)
        self._demands[name] = demand_of(asked, now)
        shared = reminder(self._demands, now)
        if shared is not None:
            self._demands[SHARED] = shared
        granted = share(name, self._demands, self._capacity, now)
        outcome = settle(asked, granted, now)
        mine = aged(self._demands[name], granted.replicas, now)
        self._demands[name] = mine.model_copy(update={"holding": outcome.record.desired})
        waits = {"waiting_since": mine.waiting_since, "turn_until": mine.turn_until}
        return Outcome(outcome.record.model_copy(update=waits), outcome.decision)

    def withdraw(self, name: str) -> None:
        """It is over and asks for nothing any more."""
        self._demands.pop(name, None)
