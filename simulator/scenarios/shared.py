"""Shared capacity: batches with deadlines arrive at a cluster that has not always room for what they want together."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from simulator.case import Case
from simulator.clairvoyant import Demand, earliest_deadline_first
from simulator.run import Run
from simulator.scenarios.bags import MOST, STARTUP, Bag, Known, Tightness, bags

CAPACITY = 40


@dataclass(frozen=True)
class Arrival:
    """A batch and when it is submitted (s)."""

    bag: Bag
    tightness: Tightness
    submitted_at: float


@dataclass(frozen=True)
class Crowd:
    """Batches that share ``capacity`` replicas."""

    name: str
    arrivals: tuple[Arrival, ...]
    capacity: int = CAPACITY

    @property
    def load(self) -> float:
        """Work over what the capacity could do from the first submission to the last deadline."""
        work = sum(one.bag.work + STARTUP * one.bag.clairvoyant(one.tightness) for one in self.arrivals)
        last = max(one.submitted_at + one.bag.deadline(one.tightness) for one in self.arrivals)
        return work / (self.capacity * (last - self.arrivals[0].submitted_at))

    def cases(self, law: str, known: Known = Known.TIMEOUT) -> list[Case]:
        """The cases to simulate together."""
        return [
            _placed(one.bag.case(one.tightness, known, law, seed=number), one.submitted_at, number)
            for number, one in enumerate(self.arrivals)
        ]

    def clairvoyant(self) -> int:
        """Deadlines met by a clairvoyant earliest-deadline-first."""
        demands = [
            Demand(one.submitted_at, one.bag.deadline(one.tightness), one.bag.durations, MOST) for one in self.arrivals
        ]
        ends = earliest_deadline_first(demands, self.capacity, STARTUP)
        return sum(end <= demand.due for end, demand in zip(ends, demands, strict=True))


def met_of(runs: Sequence[Run]) -> int:
    """Deadlines that were met."""
    return sum(bool(run.met) for run in runs)


def crowds(number: int, seed: int = 1) -> Iterator[Crowd]:
    """So many, from half full to overloaded; the same for the same seed, whatever the number."""
    return (crowd(place, seed) for place in range(number))


def crowd(place: int, seed: int = 1) -> Crowd:
    """The crowd at that place of ``crowds``."""
    chance = random.Random(f"crowd {seed} {place}")
    chosen = [bag for bag in bags(60, seed=chance.randrange(2**31)) if len(bag.durations) <= 400][:14]
    chance.shuffle(chosen)
    load = chance.uniform(0.5, 1.1)
    at, arrivals = 0.0, []
    for bag in chosen:
        arrivals.append(Arrival(bag, chance.choice(list(Tightness)), at))
        at += chance.expovariate(1.0) * bag.work / (CAPACITY * load)
    return Crowd(f"crowd-{place}", tuple(arrivals))


def _placed(case: Case, submitted_at: float, number: int) -> Case:

    return replace(case, name=f"{case.name}-{number}", submitted_at=submitted_at)
