"""What somebody could do who knew every item's time beforehand: the measure of how good a law could be."""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Demand:
    """A batch as the clairvoyant sees it. Times in seconds; ``deadline`` counts from ``submitted_at``."""

    submitted_at: float
    deadline: float
    durations: tuple[float, ...]
    most: int
    """Replicas it may have at once."""

    @property
    def due(self) -> float:
        """When it must have finished."""
        return self.submitted_at + self.deadline


def earliest_deadline_first(demands: Sequence[Demand], capacity: int, startup: float) -> list[float]:
    """When each batch finishes if every free place takes an item of the batch that is due first.

    A place that goes over to another batch starts a replica first (``startup``, s). Items are not interrupted and keep
    their order, which is the queue's and no controller's; a batch that cannot be met any more yields to those that can.
    """
    queues = [list(reversed(demand.durations)) for demand in demands]
    left = [math.fsum(demand.durations) for demand in demands]
    finished = [demand.submitted_at for demand in demands]
    held = [0] * len(demands)
    free: list[tuple[float, int, int]] = [(0.0, place, -1) for place in range(capacity)]
    heapq.heapify(free)
    submissions = sorted(demand.submitted_at for demand in demands)
    while any(queues):
        now, place, last = heapq.heappop(free)
        if last >= 0:
            held[last] -= 1
        ready = [
            number
            for number, demand in enumerate(demands)
            if queues[number] and demand.submitted_at <= now and held[number] < demand.most
        ]
        if not ready:
            # Nothing to do until somebody submits, or until a batch at its limit has a place free again.
            later = [at for at in submissions if at > now] + [at for at, _, _ in free if at > now]
            heapq.heappush(free, (min(later), place, -1))
            continue
        chosen = min(ready, key=lambda number: _urgency(demands[number], queues[number], left[number], capacity, now))
        seconds = queues[chosen].pop()
        begun = now if chosen == last else now + startup
        ended = begun + seconds
        held[chosen] += 1
        left[chosen] -= seconds
        finished[chosen] = max(finished[chosen], ended)
        heapq.heappush(free, (ended, place, chosen))
    return finished


def _urgency(demand: Demand, queue: Sequence[float], left: float, capacity: int, now: float) -> tuple[bool, float]:
    """Hopeless ones last, then by deadline."""
    needed = max(max(queue), left / min(capacity, demand.most))
    return now + needed > demand.due, demand.due
