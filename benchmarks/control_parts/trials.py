"""One trial: a contender in a scenario. Trials know nothing of each other, so they may run in several processes."""

from __future__ import annotations

import functools
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.control_parts.contenders import CONTENDERS, Contender
from benchmarks.control_parts.traces import bags_in, streams_in
from common.domain.submission import Kind, SubmissionSpec
from controller.lawbook import LawBook
from simulator import Case, PlantModel, Work, all_laws, simulate, simulate_one
from simulator.distributions import Constant, LogNormal
from simulator.plant import ScaleDown
from simulator.scenarios.bags import STARTUP, Bag, Known, Tightness, bag, judge
from simulator.scenarios.shared import crowd, met_of
from simulator.scenarios.streams import Pattern, Stream, judge_stream, stream

FAMILIES = ("bags", "streams", "forecast", "shared", "speed")
PROGRESS = (0.25, 0.5)
"""Shares of progress at which forecasts are judged."""
MOST_VARIATION = 1.5
"""Forecasts are judged on bags of a coefficient of variation up to this."""


@dataclass(frozen=True)
class Task:
    """What to try. ``number`` is the scenario's place in its family; ``traces`` takes it from files instead."""

    family: str
    contender: str
    setting: str
    known: str
    number: int
    seed: int
    traces: str = ""
    scale_down: ScaleDown = "drain"
    """Of bags."""


@dataclass(frozen=True)
class Trial:
    """What came out. ``figures`` are named in the family's own words."""

    task: Task
    spread: str
    figures: dict[str, float]


def tasks(
    family: str, contenders: tuple[Contender, ...], sizes: dict[str, int], seed: int, traces: str = ""
) -> Iterator[Task]:
    """Everything that has to be tried in that family."""
    for contender in contenders:
        knowledge = tuple(Known) if contender.ours else (Known.NOTHING,)
        if family == "bags" and contender.kind is Kind.BATCH:
            number = len(_traced_bags(traces)) if traces else sizes["bags"]
            for known in knowledge:
                for tightness in Tightness:
                    yield from _numbered(family, contender, tightness, known, number, seed, traces)
        elif family == "forecast" and contender.law == "deadline":
            number = len(_traced_bags(traces)) if traces else sizes["bags"]
            for known in knowledge:
                yield from _numbered(family, contender, "", known, number, seed, traces)
        elif family == "streams" and contender.kind is Kind.STREAM:
            if traces:
                for number, one in enumerate(_traced_streams(traces)):
                    yield Task(family, contender.label, one.pattern, "", number, seed, traces)
            else:
                for pattern in (Pattern.SMOOTH, Pattern.DIURNAL, Pattern.BURSTY):
                    yield from _numbered(family, contender, pattern, "", sizes["streams"], seed)
        elif family == "shared" and contender.kind is Kind.BATCH and not contender.single_use and not traces:
            yield from _numbered(family, contender, "", Known.TIMEOUT, sizes["crowds"], seed)
        elif family == "speed" and contender.law == "deadline" and not traces:
            yield Task(family, contender.label, "10,000 items x 50 replicas", "", 0, seed)


def attempt(task: Task) -> Trial:
    """Run it."""
    contender = next(one for one in CONTENDERS if one.label == task.contender)
    return _ATTEMPTS[task.family](task, contender)


def _bags(task: Task, contender: Contender) -> Trial:
    subject, tightness = _bag(task), Tightness(task.setting)
    plant = PlantModel(startup=Constant(STARTUP), single_use=contender.single_use, scale_down=task.scale_down)
    case = subject.case(tightness, Known(task.known), contender.law, dict(contender.settings), plant, task.number)
    verdict = judge(subject, tightness, simulate_one(case, _laws()))
    figures = {
        "met": float(verdict.met),
        "cost": verdict.cost,
        "excess": verdict.excess,
        "peak": verdict.peak,
        "scalings": float(verdict.scalings),
    }
    return Trial(task, subject.spread, figures)


def _forecast(task: Task, contender: Contender) -> Trial:
    """Each bag with one of the three deadlines; a bag of too great variation says nothing."""
    subject = _bag(task)
    if subject.variation > MOST_VARIATION:
        return Trial(task, subject.spread, {})
    tightness = list(Tightness)[task.number // 3 % 3]
    case = subject.case(tightness, Known(task.known), contender.law, dict(contender.settings), seed=task.number)
    case = Case(**{**vars(case), "forecast_at": PROGRESS})
    run = simulate_one(case, _laws())
    figures: dict[str, float] = {}
    for share, foreseen in run.forecasts:
        if run.finished is None:
            continue
        if foreseen.p50 is not None:
            figures[f"error at {share:.0%}"] = abs(foreseen.p50 - run.finished) / run.finished
        if foreseen.p5 is not None and foreseen.p95 is not None:
            figures[f"held at {share:.0%}"] = float(foreseen.p5 <= run.finished <= foreseen.p95)
    return Trial(task, subject.spread, figures)


def _streams(task: Task, contender: Contender) -> Trial:
    subject = (
        _traced_streams(task.traces)[task.number] if task.traces else _stream(task.number, task.setting, task.seed)
    )
    run = simulate_one(subject.case(contender.law, dict(contender.settings)), _laws())
    verdict = judge_stream(subject, run)
    figures = {
        "within": verdict.within,
        "attained": float(verdict.attained),
        "cost": verdict.cost,
        "peak": verdict.peak,
        "scalings": float(verdict.scalings),
    }
    return Trial(task, "", figures)


def _shared(task: Task, contender: Contender) -> Trial:
    subject = crowd(task.number, task.seed)
    cases = subject.cases(contender.law, Known(task.known))
    runs = simulate(cases, capacity=subject.capacity, laws=_laws())
    return Trial(task, "", {"met": float(met_of(runs)), "clairvoyant": float(subject.clairvoyant())})


def _speed(task: Task, contender: Contender) -> Trial:
    durations = LogNormal(30.0, 1.0).samples(random.Random(task.seed), 10_000)
    spec = SubmissionSpec.model_validate(
        {
            "run": "work {item}",
            "workload": {"url": "file:///items"},
            "deadline": 15.0 + sum(durations) / 48.0,
            "replicas": {"min": 1, "max": 50},
            "control": {"law": contender.law},
        }
    )
    case = Case("speed", spec, Work(durations), PlantModel(startup=Constant(15.0)))
    laws = _laws()
    began = time.process_time()
    run = simulate_one(case, laws)
    seconds = time.process_time() - began
    return Trial(task, "", {"cpu_s": seconds, "decisions": float(len(run.decisions)), "peak": float(run.peak)})


_ATTEMPTS = {"bags": _bags, "forecast": _forecast, "streams": _streams, "shared": _shared, "speed": _speed}


def _numbered(
    family: str, contender: Contender, setting: str, known: str, number: int, seed: int, traces: str = ""
) -> Iterator[Task]:
    return (Task(family, contender.label, setting, known, place, seed, traces) for place in range(number))


def _bag(task: Task) -> Bag:
    return _traced_bags(task.traces)[task.number] if task.traces else bag(task.number, task.seed)


@functools.cache
def _laws() -> LawBook:
    return all_laws()


@functools.lru_cache(maxsize=4)
def _stream(number: int, setting: str, seed: int) -> Stream:
    return stream(number, Pattern(setting), seed)


@functools.cache
def _traced_bags(directory: str) -> list[Bag]:
    return bags_in(Path(directory))


@functools.cache
def _traced_streams(directory: str) -> list[Stream]:
    return streams_in(Path(directory))
