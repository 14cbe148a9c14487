"""What submissions ask of one cluster, with its sums kept: one more decision costs the same however many there are.

While all fit, which the sums tell, everybody gets what it wants. Where they do not, or where who can be early may have
what nobody wants, the shares of all are computed once in a while: ten times a second at most for those that ask for
something else than they did then. Not even that is needed where the sums tell that what all may have early fits, too,
and that all are in time.
"""

from __future__ import annotations

from collections.abc import Mapping

from common.domain.capacity import Capacity
from controller.arbiter import SURELY, Demand, Share, allocate, alone, amounts, early, steady, taken_of

GOOD_FOR = 0.5
"""Seconds for which what was read of a large board is good for more decisions: so late the others' are seen."""
DIVIDED_EVERY = 0.1
"""Seconds between two divisions of all for the sake of one that asks for something else."""
LARGE = 50
"""Demands from which on a board is large. A smaller one is read for each decision."""


class Ledger:
    """The demands that stood at ``now`` (Unix seconds), and those put since. Threads take turns."""

    def __init__(self, demands: Mapping[str, Demand], capacity: Capacity, now: float) -> None:
        self._capacity = capacity
        self._read_at = now
        self._demands: dict[str, Demand] = {}
        self._limits = {name: float(value) for name, value in capacity.model_dump().items() if value is not None}
        self._asked = dict.fromkeys(self._limits, 0.0)
        """Of each limited amount: what is asked for or still held, whichever is more."""
        self._early = dict.fromkeys(self._limits, 0.0)
        """The same, with what they may have early."""
        self._held = dict.fromkeys(self._limits, 0.0)
        self._steady: dict[str, float] = {}
        """The share of the capacity that each needs steadily to be in time, while what was read is good."""
        self._whole = 0.0
        """Of all."""
        self._racing = 0
        """How many have a deadline."""
        self._divided_at = float("-inf")
        self._due: dict[str, Share] = {}
        self._due_for: dict[str, Demand] = {}
        for id, demand in demands.items():
            if demand.stands(now):
                self.put(id, demand)

    @property
    def demands(self) -> Mapping[str, Demand]:
        """As they are known now."""
        return self._demands

    def is_good(self, capacity: Capacity | None, now: float) -> bool:
        """Whether another decision may go by it."""
        is_large = len(self._demands) >= LARGE
        return is_large and capacity == self._capacity and 0 <= now - self._read_at < GOOD_FOR

    def put(self, id: str, demand: Demand) -> None:
        """The demand is this from now on."""
        self.drop(id)
        self._demands[id] = demand
        self._count(demand, 1)
        # More than all of it is as good as any: a sum must be left as it was entered.
        self._steady[id] = min(1.0, steady(demand, self._capacity, self._read_at, self._read_at + GOOD_FOR))
        self._whole += self._steady[id]

    def drop(self, id: str) -> None:
        """It asks for nothing any more. Idempotent."""
        before = self._demands.pop(id, None)
        if before is not None:
            self._count(before, -1)
            self._whole -= self._steady.pop(id)

    def share(self, id: str, now: float, eager: bool) -> Share:
        """The share of one of the demands, as ``arbiter.share`` has it."""
        mine = self._demands[id]
        if self._fit(self._asked) and not (eager and self._racing > 1):
            return Share(mine.wanted)
        due = alone(mine, now) if eager and self._is_roomy(now) else self._due_to(id, mine, now, eager)
        left = {name: limit - self._held[name] for name, limit in self._limits.items()}
        for name, amount in amounts(mine.requests):
            if name in left:
                left[name] += amount * mine.holding
        return taken_of(due, mine, left, self._capacity)

    def _due_to(self, id: str, mine: Demand, now: float, eager: bool) -> Share:
        counted = self._due_for.get(id)
        if counted is not None and _claim(counted, now) == _claim(mine, now):
            return self._due[id]
        if counted is None or not 0 <= now - self._divided_at < DIVIDED_EVERY:
            self._due = allocate(self._demands, self._capacity, now, eager)
            self._due_for = dict(self._demands)
            self._divided_at = now
            return self._due[id]
        # What was due then, as far as it is asked for now; and what is asked for where that fits.
        due = self._due[id]
        most = max(due.replicas, mine.wanted) if self._fit(self._asked) else due.replicas
        replicas = min(most, mine.wanted + mine.early)
        if replicas < mine.wanted:
            return Share(replicas, due.reason)
        return Share(replicas, "" if replicas == mine.wanted else early(replicas, mine))

    def _is_roomy(self, now: float) -> bool:
        """Whether nobody is in anybody's way, for sure."""
        return 0 <= now - self._read_at < GOOD_FOR and self._whole <= SURELY and self._fit(self._early)

    def _fit(self, sums: Mapping[str, float]) -> bool:
        return all(sums[name] <= limit for name, limit in self._limits.items())

    def _count(self, demand: Demand, sign: int) -> None:
        most, at_best = max(demand.wanted, demand.holding), max(demand.wanted + demand.early, demand.holding)
        for name, amount in amounts(demand.requests):
            if name in self._limits:
                self._asked[name] += sign * amount * most
                self._early[name] += sign * amount * at_best
                self._held[name] += sign * amount * demand.holding
        if demand.deadline_at is not None:
            self._racing += sign


def _claim(demand: Demand, now: float) -> tuple[object, ...]:
    """What its share depends on, but for the work left and the times, which change a little with each decision."""
    racing = demand.deadline_at is not None
    fixed = (demand.wanted, demand.least, demand.early, demand.requests, demand.priority, demand.urgent)
    return (*fixed, racing, demand.in_turn(now))
