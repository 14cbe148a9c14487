"""Streams: 95 % of the items are to wait at most 5 s for a replica, which takes 15 s to start.

A decision each 5 s on a measurement that is at most 2 s old. From 5 to 40 replicas' worth of work arrives, smooth
(Poisson), as web traffic over a day, or in bursts (a two-state process, or batches). What a law costs is told as its
replica-seconds over the work that arrived.
"""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from common.domain.submission import SubmissionSpec
from simulator.arrivals import Arrivals, Batches, Bursty, Diurnal, Poisson
from simulator.case import Case, Work
from simulator.distributions import Constant, LogNormal
from simulator.plant import PlantModel
from simulator.run import Run

WAIT = 5.0
PERCENTILE = 95.0
STARTUP = 15.0
INTERVAL = 5.0
MOST = 120
_MOST_RATE = 15.0
"""Items per second; more only make the simulation longer."""


class Pattern(StrEnum):
    """Of the arrivals."""

    SMOOTH = "smooth"
    DIURNAL = "web-diurnal"
    BURSTY = "bursty"
    EXTREME = "extreme"
    """Measured bursts that defeat every known rule; only with traces."""


@dataclass(frozen=True)
class Stream:
    """``arrivals`` and ``durations`` in seconds, one of each per item."""

    name: str
    pattern: Pattern
    arrivals: tuple[float, ...]
    durations: tuple[float, ...]

    @property
    def work(self) -> float:
        """Replica-seconds."""
        return math.fsum(self.durations)

    @property
    def load(self) -> float:
        """Replicas that are busy on average."""
        return self.work / self.arrivals[-1]

    def case(self, law: str, settings: dict[str, object] | None = None, seed: int = 0) -> Case:
        """The case to simulate. The target is on wait and service together: the mean service is added to the wait."""
        spec = SubmissionSpec.model_validate(
            {
                "name": "stream",
                "run": "work {item}",
                "target": {"latency": WAIT + statistics.fmean(self.durations), "percentile": PERCENTILE},
                "replicas": {"min": 1, "max": MOST},
                "control": {"law": law, "interval": INTERVAL, "settings": settings or {}},
            }
        )
        work = Work(self.durations, self.arrivals)
        return Case(self.name, spec, work, PlantModel(startup=Constant(STARTUP)), seed=seed)


@dataclass(frozen=True)
class StreamVerdict:
    """``within``: share of the waits within 5 s; ``cost``: replica-seconds over work; ``peak``: over the mean load."""

    within: float
    cost: float
    peak: float
    scalings: int

    @property
    def attained(self) -> bool:
        """Whether the target was kept."""
        return self.within >= PERCENTILE / 100


def judge_stream(stream: Stream, run: Run) -> StreamVerdict:
    """How the run did."""
    return StreamVerdict(run.within(WAIT), run.replica_seconds / stream.work, run.peak / stream.load, run.scalings)


def streams(number: int, pattern: Pattern, seed: int = 1) -> Iterator[Stream]:
    """So many streams of that pattern (not EXTREME); the same for the same seed, whatever the number."""
    return (stream(place, pattern, seed) for place in range(number))


def stream(place: int, pattern: Pattern, seed: int = 1) -> Stream:
    """The stream at that place of ``streams``."""
    chance = random.Random(f"stream {seed} {pattern} {place}")
    load = math.exp(chance.uniform(math.log(5.0), math.log(40.0)))
    mean = max(math.exp(chance.uniform(math.log(0.5), math.log(4.0))), load / _MOST_RATE)
    process, seconds = _process(pattern, load / mean, chance)
    arrivals = process.times(chance, seconds)
    durations = LogNormal(mean, chance.uniform(0.3, 1.5)).samples(chance, len(arrivals))
    return Stream(f"{pattern}-{place}", pattern, arrivals, durations)


def stream_of(name: str, pattern: Pattern, arrivals: Sequence[float], durations: Sequence[float]) -> Stream:
    """A measured stream, beginning with its first arrival."""
    return Stream(name, pattern, tuple(at - arrivals[0] for at in arrivals), tuple(durations))


def _process(pattern: Pattern, rate: float, chance: random.Random) -> tuple[Arrivals, float]:
    if pattern is Pattern.SMOOTH:
        return Poisson(rate), 3600.0
    if pattern is Pattern.DIURNAL:
        return Diurnal(rate, 14400.0, chance.uniform(0.4, 0.8), chance.uniform(0.05, 0.3)), 14400.0
    if chance.random() < 0.75:
        calm, burst = chance.uniform(120.0, 480.0), chance.uniform(30.0, 180.0)
        return Bursty(rate, chance.uniform(2.0, 5.0), calm, burst), 7200.0
    return Batches(rate, chance.uniform(2.0, 8.0)), 3600.0
