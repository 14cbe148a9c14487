"""What ``asperathos simulate`` is asked for, and the runs that answer it: the same luck for every law. Pure."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from common.domain.submission import Kind, SubmissionSpec
from controller.lawbook import LawBook
from simulator.arrivals import Arrivals
from simulator.baselines import SINGLE_USE
from simulator.case import Case, Knowledge, Work
from simulator.distributions import Distribution
from simulator.outlook import Outlook, outlook
from simulator.page import Shown
from simulator.plant import PlantModel
from simulator.run import Run
from simulator.simulation import simulate

_FORECASTS = tuple(place / 100 for place in range(0, 100, 2))
"""Shares of progress at which the drawn run's forecasts are kept."""


@dataclass(frozen=True)
class Items:
    """Where service times come from: measured ones in their order, or a distribution for so many items.

    ``arrivals`` of a stream: a process and for how long, or measured times (s).
    """

    service: Distribution | None = None
    number: int | None = None
    durations: tuple[float, ...] = ()
    arrivals: Arrivals | None = None
    seconds: float = 3600.0
    arrival_times: tuple[float, ...] = ()

    def work(self, chance: random.Random, is_stream: bool, shuffled: bool) -> Work:
        """One draw. Measured durations keep their order unless ``shuffled``, and repeat when there are too few."""
        arrivals: tuple[float, ...] | None = None
        if is_stream:
            arrivals = self.arrival_times or (self.arrivals.times(chance, self.seconds) if self.arrivals else ())
        number = self.number if arrivals is None else len(arrivals)
        if self.durations:
            measured = list(self.durations)
            if shuffled:
                chance.shuffle(measured)
            count = len(measured) if number is None else number
            return Work(tuple(measured[place % len(measured)] for place in range(count)), arrivals)
        assert self.service is not None and number is not None
        return Work(self.service.samples(chance, number), arrivals)


@dataclass(frozen=True)
class Submitted:
    """One document and when it is submitted (s)."""

    name: str
    spec: SubmissionSpec
    items: Items
    plant: PlantModel
    history: tuple[float, ...] = ()
    at: float = 0.0


@dataclass(frozen=True)
class Experiment:
    """``laws``: those to compare, each for all submissions; None: the document's own."""

    submissions: tuple[Submitted, ...]
    laws: tuple[str | None, ...]
    runs: int
    seed: int
    capacity: int | None = None
    measurement_delay: float = 0.0

    @property
    def trials(self) -> int:
        """How many simulations it takes."""
        return len(self.laws) * self.runs

    def cases(self, law: str | None, number: int) -> list[Case]:
        """Those of run ``number``."""
        cases = []
        for place, one in enumerate(self.submissions):
            chance = random.Random(f"{self.seed} {number} {place}")
            plant = replace(one.plant, single_use=law in SINGLE_USE)
            spec = one.spec if law is None else _under(one.spec, law)
            cases.append(
                Case(
                    name=one.name,
                    spec=spec,
                    work=one.items.work(chance, spec.kind is Kind.STREAM, shuffled=number > 0),
                    plant=plant,
                    knowledge=Knowledge(one.history),
                    submitted_at=one.at,
                    measurement_delay=self.measurement_delay,
                    seed=chance.randrange(2**31),
                    forecast_at=_FORECASTS if number == 0 else (),
                )
            )
        return cases


def results(experiment: Experiment, laws: LawBook) -> Iterator[Shown | None]:
    """None after each simulation, and what a law came to after its last one, a submission at a time."""
    for law in experiment.laws:
        found: list[list[Run]] = [[] for _ in experiment.submissions]
        for number in range(experiment.runs):
            for place, run in enumerate(simulate(experiment.cases(law, number), experiment.capacity, laws)):
                # One run is drawn; of the others only the figures are looked at.
                found[place].append(run if number == 0 else replace(run, observations=()))
            yield None
        for one, runs in zip(experiment.submissions, found, strict=True):
            yield Shown(_outlook(one, law, runs), runs[0])


def _outlook(one: Submitted, law: str | None, runs: Sequence[Run]) -> Outlook:
    target = one.spec.target
    latency = None if target is None else target.latency
    return outlook(one.name, law or one.spec.law, runs, latency, 95.0 if target is None else target.percentile)


def _under(spec: SubmissionSpec, law: str) -> SubmissionSpec:
    settings = spec.control.settings if law == spec.law else {}
    return spec.model_copy(update={"control": spec.control.model_copy(update={"law": law, "settings": settings})})
