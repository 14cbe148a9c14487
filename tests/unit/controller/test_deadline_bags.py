"""Small bags of tasks, as docs/control.md defines them: how many deadlines are met, and how dearly."""

from __future__ import annotations

import math
import random
import statistics

import pytest

from tests.unit.controller.plant import Plant, Run, lognormal, request_for, simulate

STARTUP = 15.0


def bags() -> list[list[float]]:
    chance = random.Random(20)
    drawn = [lognormal(100, 30.0, variation, seed) for seed, variation in enumerate((0.1, 0.3, 0.5, 0.8, 1.0, 1.5))]
    drawn.append([chance.gammavariate(0.7, 1.0) for _ in range(120)])
    drawn.append([12.0 if chance.random() < 0.05 else 1.0 for _ in range(120)])
    drawn.append([min(chance.paretovariate(2.0), 40.0) for _ in range(140)])
    return [[30.0 * item / statistics.mean(bag) for item in bag] for bag in drawn]


def deadline_of(bag: list[float], slackness: float) -> float:
    return max(1.6 * max(bag) + 2 * STARTUP, STARTUP + slackness * sum(bag) / 20)


def steered(bag: list[float], slackness: float, timeout: float | None) -> Run:
    plant = Plant(bag, startup=STARTUP, observe_every=5.0)
    request = request_for("deadline", maximum=40, interval=5.0, timeout=timeout)
    return simulate(plant, request, deadline_of(bag, slackness))


@pytest.mark.parametrize(("slackness", "least"), [(1.0, 8), (2.0, 9), (4.0, 9)])
def test_nearly_every_deadline_is_met_with_few_replicas(slackness: float, least: int) -> None:
    met, costs = 0, []
    for bag in bags():
        deadline = deadline_of(bag, slackness)
        run = steered(bag, slackness, timeout=None)
        met += run.finished <= deadline
        fewest = max(1, math.ceil(sum(bag) / (deadline - STARTUP)))
        costs.append(run.replica_seconds / (sum(bag) + STARTUP * fewest))
    assert met >= least
    assert statistics.median(costs) < 1.5, (
        "the plant removes the highest index first, so idle ones wait for the last item"
    )


@pytest.mark.parametrize("slackness", [1.0, 2.0, 4.0])
def test_with_the_timeout_known_every_deadline_is_met(slackness: float) -> None:
    for bag in bags():
        assert steered(bag, slackness, 1.2 * max(bag)).finished <= deadline_of(bag, slackness)


def test_even_bags_are_held_at_the_steady_pace() -> None:
    bag = bags()[0]
    run = steered(bag, 4.0, None)
    late = [decision.granted for decision in run.decisions if 150.0 < decision.at - run.decisions[0].at < 350.0]
    assert max(late) - min(late) <= 1
