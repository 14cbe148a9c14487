"""Bags of tasks: batches with item times scaled to a mean of 30 s, at most 40 replicas, a start-up of 15 s.

A decision each 5 s on a fresh measurement, scale-down by drain. With W the total work and S the start-up, the deadline
is D = max(1.6 * longest + 2 S, S + t W / 20), t being 1 (tight), 2 (medium) or 4 (loose). The clairvoyant needs
k0 = max(1, ceil(W / (D - S)), number of items longer than (D - S) / 2) replicas and W + S k0 replica-seconds.

The distributions are fitted to what such bags were measured to be like: jobs of users of grids and supercomputers
(coefficient of variation 0.5 to 2.6 for eight in ten of them, median 1.1, many that end at once, runs of like ones one
after the other), image generation (even, or in a few sizes), and functions and language models (a heavy tail).
"""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from common.domain.submission import SubmissionSpec
from simulator.case import Case, Knowledge, Work
from simulator.distributions import Bimodal, Constant, Cut, Distribution, Gamma, LogNormal, Mixture, Pareto, Weibull
from simulator.plant import PlantModel
from simulator.run import Run

MEAN = 30.0
MOST = 40
STARTUP = 15.0
INTERVAL = 5.0
HISTORY = 100
"""Items of earlier bags of the same kind that may be known."""
TIMEOUT = 1.2
"""A known item_timeout is the longest item's time times this: users leave some room."""
LOW_VARIATION, HIGH_VARIATION = 0.5, 1.5


class Tightness(StrEnum):
    """Of the deadline."""

    TIGHT = "tight"
    MEDIUM = "medium"
    LOOSE = "loose"

    @property
    def factor(self) -> float:
        """The t of the formula."""
        return {"tight": 1.0, "medium": 2.0, "loose": 4.0}[self.value]


class Known(StrEnum):
    """What the law is told beforehand."""

    NOTHING = "nothing"
    TIMEOUT = "timeout"
    HISTORY = "history"
    """100 items of earlier bags, and the timeout."""


@dataclass(frozen=True)
class Bag:
    """``durations`` in order of the queue, of mean 30 s; ``history`` of earlier bags on the same scale."""

    name: str
    durations: tuple[float, ...]
    history: tuple[float, ...]

    @property
    def work(self) -> float:
        """Replica-seconds."""
        return math.fsum(self.durations)

    @property
    def variation(self) -> float:
        """Coefficient of variation of the item times."""
        return statistics.pstdev(self.durations) / statistics.fmean(self.durations)

    @property
    def spread(self) -> str:
        """``even`` below 0.5, ``mixed`` to 1.5, ``heavy`` above."""
        variation = self.variation
        return "even" if variation < LOW_VARIATION else "mixed" if variation <= HIGH_VARIATION else "heavy"

    def deadline(self, tightness: Tightness) -> float:
        """D, in seconds."""
        paced = STARTUP + tightness.factor * self.work / 20.0
        return max(1.6 * max(self.durations) + 2 * STARTUP, paced)

    def clairvoyant(self, tightness: Tightness) -> int:
        """k0."""
        usable = self.deadline(tightness) - STARTUP
        alone = sum(seconds > usable / 2 for seconds in self.durations)
        return max(1, math.ceil(self.work / usable), alone)

    def case(
        self,
        tightness: Tightness,
        known: Known,
        law: str,
        settings: dict[str, object] | None = None,
        plant: PlantModel | None = None,
        seed: int = 0,
    ) -> Case:
        """The case to simulate. ``plant`` overrides the family's."""
        spec = SubmissionSpec.model_validate(
            {
                "name": "bag",
                "run": "work {item}",
                "workload": {"url": "file:///items"},
                "deadline": self.deadline(tightness),
                "replicas": {"min": 1, "max": MOST},
                "control": {"law": law, "interval": INTERVAL, "settings": settings or {}},
                "monitoring": {"interval": INTERVAL},
                "item_timeout": None if known is Known.NOTHING else TIMEOUT * max(self.durations),
            }
        )
        return Case(
            name=f"{self.name}-{tightness}-{known}",
            spec=spec,
            work=Work(self.durations),
            plant=plant or PlantModel(startup=Constant(STARTUP)),
            knowledge=Knowledge(self.history if known is Known.HISTORY else ()),
            seed=seed,
        )


@dataclass(frozen=True)
class Verdict:
    """A run against the clairvoyant. ``cost``, ``peak``: over his; ``excess``: share spent above his replicas."""

    met: bool
    cost: float
    excess: float
    peak: float
    scalings: int


def judge(bag: Bag, tightness: Tightness, run: Run) -> Verdict:
    """How the run compares."""
    best = bag.clairvoyant(tightness)
    return Verdict(
        met=bool(run.met),
        cost=run.replica_seconds / (bag.work + STARTUP * best),
        excess=run.excess(best),
        peak=run.peak / best,
        scalings=run.scalings,
    )


def bags(number: int, seed: int = 1) -> Iterator[Bag]:
    """So many bags, a third of each sort; the same for the same seed, and the first ones whatever the number."""
    return (bag(place, seed) for place in range(number))


def bag(place: int, seed: int = 1) -> Bag:
    """The bag at that place of ``bags``."""
    return _MAKERS[place % len(_MAKERS)](place, random.Random(f"bag {seed} {place}"))


def bag_of(name: str, durations: Sequence[float], history: Sequence[float]) -> Bag:
    """A bag of measured item times, both scaled as the bag's mean is to 30 s."""
    factor = MEAN / statistics.fmean(durations)
    return Bag(name, tuple(s * factor for s in durations), tuple(s * factor for s in history))


def _grid(place: int, chance: random.Random) -> Bag:
    """A user's jobs: log-normal or Weibull, some that end at once, often in runs of like ones."""
    size = _size(chance, 20, 3000, 250)
    variation = _between(chance, 0.25, 2.8)
    main: Distribution = chance.choice((LogNormal, Weibull))(MEAN, variation)
    ending_at_once = chance.random() * 0.25 if chance.random() < 0.5 else 0.0
    item: Distribution = Mixture((main, LogNormal(MEAN / 30, 0.5)), (1.0 - ending_at_once, ending_at_once))
    item = Cut(item, MEAN * _between(chance, 8, 40))
    durations = list(item.samples(chance, size))
    if chance.random() < 0.4:
        _in_runs(durations, chance)
    return bag_of(f"grid-{place}", durations, item.samples(chance, HISTORY))


def _images(place: int, chance: random.Random) -> Bag:
    """Nearly even, or in two sizes."""
    size = _size(chance, 30, 3000, 300)
    if chance.random() < 0.6:
        item: Distribution = Gamma(MEAN, _between(chance, 0.04, 0.45))
    else:
        item = Bimodal(MEAN, ratio=_between(chance, 1.5, 4), share=chance.uniform(0.1, 0.6), cv=0.1)
    return bag_of(f"images-{place}", item.samples(chance, size), item.samples(chance, HISTORY))


def _functions(place: int, chance: random.Random) -> Bag:
    """A heavy tail, cut where a platform would."""
    size = _size(chance, 50, 4000, 400)
    if chance.random() < 0.5:
        item: Distribution = LogNormal(MEAN, _between(chance, 0.8, 4.5))
    else:
        item = Pareto(MEAN, _between(chance, 1.6, 3.0))
    item = Cut(item, MEAN * _between(chance, 20, 80))
    return bag_of(f"functions-{place}", item.samples(chance, size), item.samples(chance, HISTORY))


_MAKERS = (_grid, _images, _functions)


def _between(chance: random.Random, low: float, high: float) -> float:
    """Evenly spread on the logarithmic scale."""
    return math.exp(chance.uniform(math.log(low), math.log(high)))


def _size(chance: random.Random, least: int, most: int, median: int) -> int:
    return min(most, max(least, round(chance.lognormvariate(math.log(median), 1.0))))


def _in_runs(durations: list[float], chance: random.Random) -> None:
    """Bring like ones together, as parameter sweeps do, without changing any."""
    length = max(4, len(durations) // 6)
    begin = chance.randrange(0, max(1, len(durations) - length))
    durations[begin:] = sorted(durations[begin : begin + length]) + durations[begin + length :]
    for place in range(0, len(durations) - 4, 5):
        if chance.random() < 0.3:
            durations[place : place + 5] = sorted(durations[place : place + 5])
