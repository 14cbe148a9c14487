"""What became of one simulated submission. Times are seconds from its acceptance."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from common.domain.forecast import Forecast
from common.domain.progress import Decision, Observation
from common.domain.submission import Kind


@dataclass(frozen=True)
class Run:
    """``steps`` are (time, replicas paid for from then on); ``waits`` the waiting time of each attempt of a stream."""

    name: str
    law: str
    kind: Kind
    items: int
    done: int
    dead: int
    attempts: int
    work: float
    """Replica-seconds that the items need when nothing goes wrong."""
    finished: float | None
    """None: it did not finish within the simulated time."""
    ended: float
    """When the simulation of it ended."""
    deadline: float | None
    steps: tuple[tuple[float, int], ...]
    decisions: tuple[Decision, ...]
    observations: tuple[Observation, ...]
    """What each decision saw."""
    waits: tuple[float, ...] = ()
    latencies: tuple[float, ...] = ()
    """Seconds from a stream's items being put to their being done."""
    forecasts: tuple[tuple[float, Forecast], ...] = ()
    """(share of progress from which on it was asked for, forecast)."""
    price: float | None = None
    """Money that a replica costs in an hour; None: the document does not tell."""

    @property
    def met(self) -> bool | None:
        """Whether all was settled by the deadline; None without one."""
        return None if self.deadline is None else self.finished is not None and self.finished <= self.deadline

    @property
    def replica_seconds(self) -> float:
        """From each replica's request, its start-up included, to its end, its drain included."""
        return sum(replicas * seconds for replicas, seconds in self._stretches())

    @property
    def money(self) -> float | None:
        """What these cost; None without a price."""
        return None if self.price is None else self.price * self.replica_seconds / 3600.0

    def replica_seconds_above(self, replicas: int) -> float:
        """Those spent by more than so many at once."""
        return sum(max(0, paid - replicas) * seconds for paid, seconds in self._stretches())

    def excess(self, replicas: int) -> float:
        """Share of the replica-seconds that is spent above so many replicas."""
        total = self.replica_seconds
        return self.replica_seconds_above(replicas) / total if total > 0 else 0.0

    @property
    def peak(self) -> int:
        """Most replicas at once."""
        return max(replicas for _, replicas in self.steps)

    @property
    def scalings(self) -> int:
        """Decisions that changed the count."""
        return sum(decision.granted != decision.previous for decision in self.decisions)

    def within(self, seconds: float) -> float:
        """Share of the waits that are no longer than that; 1 when there was none."""
        return sum(wait <= seconds for wait in self.waits) / len(self.waits) if self.waits else 1.0

    def _stretches(self) -> Iterator[tuple[int, float]]:
        for (begun, replicas), (ended, _) in pairwise((*self.steps, (self.ended, 0))):
            yield replicas, max(0.0, ended - begun)
