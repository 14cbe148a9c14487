"""The arbiter's part in a decision: tell what is asked for, read what all ask for, take the share that follows.

Nothing here waits for another controller. Two that decide in the same instant may take more than there is, for one
interval: the pods too many stay pending, and the next decisions, which see both, put it right.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from common.domain.capacity import Capacity
from common.ports import Board
from controller.arbiter import SHARED, Demand, aged, reminder, share
from controller.capacity import Capacities
from controller.deciding import Asked, Outcome, demand_of, settle

DEMANDS = "demand"
"""Kind of the boards of demands, one a cluster."""
_FORGOTTEN = 600.0
"""Seconds after which a demand that stands no more is swept away."""


class Arbitration:
    """All methods may raise Unavailable."""

    def __init__(self, board: Board[Demand], capacities: Capacities) -> None:
        self._board = board
        self._capacities = capacities

    def settle(self, id: str, asked: Asked, now: float) -> Outcome:
        """The outcome of a decision, and what the others must know of it."""
        cluster = self._capacities.name(asked.record.request.cluster)
        demand = demand_of(asked, now)
        capacity = self._capacities.of(cluster)
        if capacity is None:
            outcome = settle(asked, None, now)
        else:
            demands = self._board.exchange(cluster, id, demand)
            granted = share(id, demands, capacity, now, eager=self._capacities.is_reserved(cluster))
            demand = aged(demand, granted.replicas, now)
            outcome = settle(asked, granted, now)
            shared = reminder(demands, now)
            if shared is not None:
                self._board.put(cluster, SHARED, shared)
            self._sweep(cluster, demands, now)
        self._board.put(cluster, id, demand.model_copy(update={"holding": outcome.record.desired}))
        waits = {"waiting_since": demand.waiting_since, "turn_until": demand.turn_until}
        return replace(outcome, record=outcome.record.model_copy(update=waits))

    def withdraw(self, id: str, cluster: str) -> None:
        """Ask for nothing any more. Idempotent."""
        self._board.drop(self._capacities.name(cluster), id)

    def standing(self, cluster: str, now: float) -> tuple[Mapping[str, Demand], Capacity | None]:
        """What is asked of that cluster, and what it has."""
        demands = self._board.entries(self._capacities.name(cluster))
        return {id: demand for id, demand in demands.items() if demand.stands(now)}, self._capacities.of(cluster)

    def _sweep(self, cluster: str, demands: Mapping[str, Demand], now: float) -> None:
        for id in [id for id, demand in demands.items() if not demand.stands(now - _FORGOTTEN)]:
            self._board.drop(cluster, id)
