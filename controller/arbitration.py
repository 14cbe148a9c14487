"""The arbiter's part in a decision: tell what is asked for, read what all ask for, take the share that follows.

Nothing here waits for another controller. Two that decide in the same instant (the same half second, where there are
many submissions) may take more than there is, for one interval: the pods too many stay pending, and the next decisions,
which see both, put it right.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import replace

from common.domain.capacity import Capacity
from common.ports import Board
from controller.arbiter import SHARED, Demand, aged, reminder
from controller.capacity import Capacities
from controller.deciding import Asked, Outcome, demand_of, settle
from controller.ledger import Ledger

DEMANDS = "demand"
"""Kind of the boards of demands, one a cluster."""
_FORGOTTEN = 600.0
"""Seconds after which a demand that stands no more is swept away."""


class Arbitration:
    """All methods may raise Unavailable."""

    def __init__(self, board: Board[Demand], capacities: Capacities) -> None:
        self._board = board
        self._capacities = capacities
        self._lock = threading.Lock()
        """Of the ledgers: decisions of this process see each other."""
        self._ledgers: dict[str, Ledger] = {}

    def settle(self, id: str, asked: Asked, now: float) -> Outcome:
        """The outcome of a decision, and what the others must know of it."""
        cluster = self._capacities.name(asked.record.request.cluster)
        demand = demand_of(asked, now)
        capacity = self._capacities.of(cluster)
        if capacity is None:
            outcome = settle(asked, None, now)
        else:
            with self._lock:
                ledger = self._ledger(cluster, id, demand, capacity, now)
                granted = ledger.share(id, now, eager=self._capacities.is_reserved(cluster))
                demand = aged(demand, granted.replicas, now)
                outcome = settle(asked, granted, now)
                ledger.put(id, demand.model_copy(update={"holding": outcome.record.desired}))
        self._board.put(cluster, id, demand.model_copy(update={"holding": outcome.record.desired}))
        waits = {"waiting_since": demand.waiting_since, "turn_until": demand.turn_until}
        return replace(outcome, record=outcome.record.model_copy(update=waits))

    def withdraw(self, id: str, cluster: str) -> None:
        """Ask for nothing any more. Idempotent."""
        cluster = self._capacities.name(cluster)
        with self._lock:
            if cluster in self._ledgers:
                self._ledgers[cluster].drop(id)
        self._board.drop(cluster, id)

    def standing(self, cluster: str, now: float) -> tuple[Mapping[str, Demand], Capacity | None]:
        """What is asked of that cluster, and what it has."""
        cluster = self._capacities.name(cluster)
        capacity = self._capacities.of(cluster)
        with self._lock:
            known = self._ledgers.get(cluster)
            if known is not None and known.is_good(capacity, now):
                return dict(known.demands), capacity
        demands = self._board.entries(cluster)
        if capacity is not None:
            with self._lock:
                self._ledgers[cluster] = Ledger(demands, capacity, now)
        return {id: demand for id, demand in demands.items() if demand.stands(now)}, capacity

    def _ledger(self, cluster: str, id: str, demand: Demand, capacity: Capacity, now: float) -> Ledger:
        """With the lock held: the cluster's ledger with this demand in it, read anew unless it is good still."""
        known = self._ledgers.get(cluster)
        if known is None or not known.is_good(capacity, now):
            demands = self._board.exchange(cluster, id, demand)
            shared = reminder(demands, now)
            if shared is not None:
                self._board.put(cluster, SHARED, shared)
            self._sweep(cluster, demands, now)
            known = self._ledgers[cluster] = Ledger(demands, capacity, now)
        known.put(id, demand)
        return known

    def _sweep(self, cluster: str, demands: Mapping[str, Demand], now: float) -> None:
        for id in [id for id, demand in demands.items() if not demand.stands(now - _FORGOTTEN)]:
            self._board.drop(cluster, id)
