"""Many runs in a row: a fault at a seeded moment of some submissions' lives, and what came of it."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from manager.lifecycle import LifecycleRules
from tests.faults.catalogue import FAULTS, Fault, Scene, Struck
from tests.faults.feeder import Feeder
from tests.faults.invariants import (
    Watcher,
    at_the_end,
    forgotten,
    leftovers,
    report_adds_up,
    restarts,
    same_again,
    steps_back,
)
from tests.faults.shapes import SHAPES, Shape
from tests.faults.stage import Options, Stage, Submitted, wait_until
from tests.support.stack_process import TERMINAL

LEASE = 2.0
RESTART_WITHIN = 1.2
"""Leases, until a dead worker's item is begun anew."""
END_WITHIN = 150.0
MOMENTS = ("at once", "at some moment", "in the middle", "near the end", "after the end")
STAGES = ("plain", "two", "disk", "stores", "clocks")


@dataclass
class Outcome:
    """One run. ``recovery`` in seconds, None when the run had ended before; ``restarts``: from a worker's death to the
    new attempt at what it held, in leases."""

    fault: str
    seed: int
    moment: str
    violations: list[str] = field(default_factory=list)
    recovery: float | None = None
    restarts: list[float] = field(default_factory=list)
    kills: int = 0
    seconds: float = 0.0
    shapes: list[str] = field(default_factory=list)


def plan(
    runs: int, seed: int, only: str = "", shape: str = "", part: tuple[int, int] = (1, 1)
) -> list[tuple[Fault, int]]:
    """Which fault with which seed: every one as often as its weight says, and those of one stage together.

    With ``shape`` only that one is submitted; ``part`` (number, of how many) is a share of the runs that takes as long
    as the others.
    """
    wanted = [fault for fault in FAULTS if only.lower() in fault.name.lower()]
    if shape:
        chosen = SHAPES[shape]
        wanted = [replace(fault, shapes=(chosen,)) for fault in wanted if chosen in fault.shapes]
    if not wanted:
        raise SystemExit(f"no fault is called {only!r}; there are: {', '.join(fault.name for fault in FAULTS)}")
    chance = random.Random(seed)
    drawn: list[Fault] = []
    while len(drawn) < runs:
        deck = [fault for fault in wanted for _ in range(fault.weight)]
        # Each at least once before any is drawn again by its weight.
        chance.shuffle(deck)
        drawn += wanted if not drawn and runs >= len(wanted) else deck
    drawn = drawn[:runs]
    seeded = [(fault, chance.randrange(10**9)) for fault in drawn]
    number, of = part
    return sorted(seeded[number - 1 :: of], key=lambda each: STAGES.index(each[0].on))


class Campaign:
    """Runs on stages that are kept as long as their faults follow each other."""

    def __init__(self, home: Path, say: Callable[[str], None] = lambda _: None, submissions: int = 2) -> None:
        self._home = home
        self._say = say
        self._submissions = submissions

    def run(self, planned: Iterable[tuple[Fault, int]]) -> Iterator[Outcome]:
        """The outcomes as they come."""
        groups: dict[str, list[tuple[Fault, int]]] = {}
        for fault, seed in planned:
            groups.setdefault(fault.on, []).append((fault, seed))
        for name, group in groups.items():
            with stage_for(name, self._home / name.replace(" ", "-")) as stage:
                for number, (fault, seed) in enumerate(group):
                    outcome = one_run(stage, fault, seed, shapes_of(fault, seed, self._submissions))
                    if outcome.violations and os.environ.get("ASPERATHOS_FAULTS_KEEP"):
                        self._say(f"logs: {stage.logs}")
                    yield outcome
                    if any("does not" in sentence for sentence in outcome.violations) and number + 1 < len(group):
                        stage.settle()


@contextmanager
def stage_for(name: str, home: Path) -> Iterator[Stage]:
    """The stage that faults ``on`` this name need."""
    if name == "two":
        options = Options(sets=2)
    elif name == "stores":
        # Nobody listens at port 9 (discard).
        away = "http://127.0.0.1:9"
        stores = {"INFLUX_URL": away, "GRAFANA_URL": away, "GRAFANA_TOKEN": "away"}
        options = Options(environment={f"ASPERATHOS_{name}": value for name, value in stores.items()})
    elif name == "clocks":
        options = Options(skew=(300.0, -150.0, 150.0, -300.0))
    elif name == "disk":
        with _small_disk(home / "disk") as disk, Stage(home, Options(redis_directory=disk, logs=disk)) as stage:
            yield stage
        return
    else:
        options = Options()
    with Stage(home, options) as stage:
        yield stage


def shapes_of(fault: Fault, seed: int, submissions: int) -> list[Shape]:
    """What is submitted in the run with this seed, by chance as often as the shapes' weights say."""
    weights = [shape.weight for shape in fault.shapes]
    return random.Random(f"{seed} shapes").choices(fault.shapes, weights, k=submissions)


def one_run(stage: Stage, fault: Fault, seed: int, shapes: Sequence[Shape]) -> Outcome:
    """Submit, strike, wait for the end, look at everything, delete, look for what is left."""
    chance = random.Random(seed)
    began = time.monotonic()
    moment = chance.choice(MOMENTS)
    outcome = Outcome(fault.name, seed, moment, shapes=[shape.name for shape in shapes])
    watchers: list[Watcher] = []
    feeders: list[Feeder] = []
    try:
        submitted = [_submit(stage, fault, chance, shape) for shape in shapes]
        feeders = [Feeder(stage, each, chance) for each in submitted if each.shape.fed]
        for feeder in feeders:
            feeder.start()
        watchers = [Watcher(stage, each) for each in submitted]
        for watcher in watchers:
            watcher.start()
        _await_moment(stage, submitted, moment, chance)
        struck = fault.strike(Scene(stage, submitted, chance))
        if struck.losses.everything:
            outcome.violations += _nothing_left_of(stage, submitted)
        else:
            with ThreadPoolExecutor(len(submitted)) as pool:
                found = pool.map(lambda watcher: _judge(stage, watcher, struck, outcome), watchers)
                outcome.violations += [sentence for sentences in found for sentence in sentences]
            outcome.violations += [sentence for feeder in feeders for sentence in feeder.lost(struck.losses)]
        outcome.kills = len(struck.kills)
        recoveries = [watcher.recovered_after(struck.lifted) for watcher in watchers]
        outcome.recovery = max((each for each in recoveries if each is not None), default=None)
    except AssertionError as error:
        outcome.violations.append(str(error))
    finally:
        for watcher in watchers:
            watcher.stop()
        for feeder in feeders:
            feeder.stop()
    outcome.seconds = time.monotonic() - began
    return outcome


def _submit(stage: Stage, fault: Fault, chance: random.Random, shape: Shape) -> Submitted:
    items: list[dict[str, Any]] = [
        {"number": number, "seconds": round(chance.uniform(0.05, 0.25), 3)} for number in range(chance.randint(30, 45))
    ]
    dead = fault.cast(items, chance) if fault.cast is not None else frozenset()
    return stage.submit(items, **{"lease": LEASE, "dead": dead, "replicas": 2, "shape": shape, **fault.fields})


def _await_moment(stage: Stage, submitted: list[Submitted], moment: str, chance: random.Random) -> None:
    first = submitted[0]
    if moment == "at once":
        time.sleep(chance.uniform(0, 0.4))
    elif moment == "at some moment":
        time.sleep(chance.uniform(0, 6))
    elif moment == "in the middle":
        wanted = chance.uniform(0.1, 0.7) * len(first.items)
        wait_until(lambda: (stage.progress(first) or 0) >= wanted, 60, "the middle does not come")
    elif moment == "near the end":
        wait_until(lambda: (stage.progress(first) or 0) >= 0.9 * len(first.items), 90, "the end does not come near")
        time.sleep(chance.uniform(0, 1.5))
    else:
        wait_until(lambda: stage.status(first.id)["state"] in TERMINAL, END_WITHIN, "the end does not come")


def _judge(stage: Stage, watcher: Watcher, struck: Struck, outcome: Outcome) -> list[str]:
    submitted = watcher.submitted
    found: list[str] = []
    try:
        if struck.losses.since is not None and stage.call("GET", f"/submissions/{submitted.id}").status_code == 404:
            if submitted.at < struck.losses.since:
                return [f"{submitted.id} was acknowledged {struck.lifted - submitted.at:.1f} s before and is lost"]
            return _nothing_left_of(stage, [submitted])
        # A queue whose new pod cannot start is waited for.
        patience = LifecycleRules().queue_patience if struck.losses.pods and submitted.shape.listed else 0.0
        status = stage.wait_end(submitted.id, END_WITHIN + patience)
        if not struck.losses.cost(stage, submitted, status):
            found += at_the_end(stage, submitted, status)
            if not submitted.ends:
                found += report_adds_up(stage, submitted)
            found += _late_restarts(stage, submitted, struck, outcome)
        found += same_again(stage, submitted)
        if stage.status(submitted.id)["state"] != status["state"]:
            found.append("the terminal state has changed")
        found += steps_back(watcher.looks, struck.losses)
        found += forgotten(stage, submitted)
    except AssertionError as error:
        found.append(str(error))
    return [f"{submitted.id}: {sentence}" for sentence in found]


def _late_restarts(stage: Stage, submitted: Submitted, struck: Struck, outcome: Outcome) -> list[str]:
    results = stage.results(submitted.id)
    kills = [kill for kill in struck.kills if kill.submission == submitted.id]
    times = [took for kill in kills for took in restarts(results, kill.held, kill.at)]
    outcome.restarts += [took / submitted.lease for took in times]
    late = [took for took in times if took > RESTART_WITHIN * submitted.lease]
    return [f"an item was begun anew {took:.1f} s after its worker died" for took in late]


def _nothing_left_of(stage: Stage, submitted: list[Submitted]) -> list[str]:
    """What Redis does not know any more must not be left in the cluster."""
    found = []
    for each in submitted:
        try:
            wait_until(lambda id=each.id: not leftovers(stage, id), 120, "x")  # type: ignore[misc]
        except AssertionError:
            found += [f"{each.id} is lost, but {sentence}" for sentence in leftovers(stage, each.id)]
    return found


@contextmanager
def _small_disk(at: Path, megabytes: int = 24) -> Iterator[Path]:
    """A file system of its own. Needs root."""
    at.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(at)], check=True)
    try:
        yield at
    finally:
        subprocess.run(["umount", "-l", str(at)], check=False, stdout=sys.stderr)
