"""The baselines follow the rules that they are named after."""

from __future__ import annotations

from typing import Any

import pytest

from common.domain.submission import Kind, Target
from controller.lawbook import AnyLaw
from controller.laws import Proposal, Situation
from simulator.baselines import BASELINES, SINGLE_USE
from tests.unit.controller.builders import START, observed, situation


def decided(name: str, told: Situation, memory: dict[str, Any] | None = None, **settings: Any) -> Proposal:
    law: AnyLaw = BASELINES[f"baseline:{name}"]
    return law.decide(told, law.settings.model_validate(settings), memory or {})


def test_their_names_say_what_they_are() -> None:
    assert all(name.startswith("baseline:") for name in BASELINES)
    assert all(law.summary.startswith("baseline: ") for law in BASELINES.values())
    assert {f"baseline:keda-{name}" for name in ("default", "custom", "accurate", "eager")} == SINGLE_USE


def test_fixed_is_flat_out_unless_told_and_never_more_than_the_items() -> None:
    assert decided("fixed", situation()).wanted == 10
    assert decided("fixed", situation(), replicas=4).wanted == 4
    assert decided("fixed", situation(observed(ready=1, leased=2, done=97))).wanted == 3


@pytest.mark.parametrize(
    ("strategy", "ready", "running", "pending", "wanted"),
    [
        # default: min(max, all items) - existing, all items being those waiting and those in work.
        ("default", 20, 3, 2, 10),
        ("default", 1, 3, 0, 4),
        ("default", 0, 3, 0, 3),
        # accurate: waiting items less pending Jobs, or what is left below max.
        ("accurate", 4, 3, 1, 7),
        ("accurate", 20, 3, 1, 10),
        ("accurate", 0, 3, 1, 4),
        # eager: as many as there is room for, though never more than wait.
        ("eager", 4, 3, 1, 7),
        ("eager", 20, 3, 1, 10),
    ],
)
def test_scaled_job(strategy: str, ready: int, running: int, pending: int, wanted: int) -> None:
    told = observed(ready=ready, leased=running, done=5, observed=running, pending=pending)
    assert decided(f"keda-{strategy}", situation(told)).wanted == wanted


def test_the_custom_strategy_takes_its_two_numbers() -> None:
    told = situation(observed(ready=6, leased=4, done=5, observed=4), maximum=20)
    assert decided("keda-custom", told).wanted == 10
    assert decided("keda-custom", told, running_job_percentage=0.5, queue_length_deduction=2).wanted == 10
    assert decided("keda-custom", told, queue_length_deduction=3).wanted == 7


def test_dask_divides_the_occupancy_by_the_time_and_is_slow_to_give_back() -> None:
    told = observed(ready=40, leased=2, done=10, count=10, mean=5.0, deadline=130.0)
    assert decided("dask-adaptive", situation(told)).wanted == 7
    assert decided("dask-adaptive", situation(told), target_duration=42.0).wanted == 5
    few = situation(told, current=9)
    first = decided("dask-adaptive", few)
    second = decided("dask-adaptive", few, dict(first.memory))
    third = decided("dask-adaptive", few, dict(second.memory))
    assert (first.wanted, second.wanted, third.wanted) == (9, 9, 7)


def test_dask_takes_unknown_items_for_short_ones() -> None:
    told = observed(ready=98, leased=2, done=0, deadline=200.0)
    assert decided("dask-adaptive", situation(told, current=1)).wanted == 1


def test_slack_multiplies_the_work_left() -> None:
    told = observed(ready=38, leased=2, done=10, count=10, mean=10.0, deadline=205.0, startup=5.0)
    assert decided("slack", situation(told)).wanted == 5
    assert decided("slack", situation(told), slack=1.0).wanted == 4
    assert decided("slack", situation(observed(ready=90, leased=2, done=0, deadline=200.0))).wanted == 3


def test_the_autoscaler_holds_a_utilisation() -> None:
    def told(leased: int, running: int, pending: int = 0, at: float = START) -> Situation:
        counts = observed(total=None, ready=30, leased=leased, done=5, observed=running, pending=pending, at=at)
        return situation(counts, kind=Kind.STREAM, current=running + pending, maximum=50)

    assert decided("hpa", told(10, 10)).wanted == 15
    assert decided("hpa", told(2, 2)).wanted == 3
    assert decided("hpa", told(40, 40)).wanted == 50
    assert decided("hpa", told(7, 10)).wanted == 10
    # Within the tolerance of 10 %.
    assert decided("hpa", told(15, 20)).wanted == 20
    # Replicas that are still starting count as idle ones.
    assert decided("hpa", told(10, 10, 10)).wanted == 20
    low = decided("hpa", told(2, 10))
    assert low.wanted == 3
    # For five minutes the most that was wanted counts.
    high = decided("hpa", told(7, 10, at=START))
    assert decided("hpa", told(2, 10, at=START + 60), dict(high.memory)).wanted == 10
    assert decided("hpa", told(2, 10, at=START + 301), dict(high.memory)).wanted == 3


def test_square_root_staffing() -> None:
    told = situation(
        observed(total=None, arrival_rate=8.0, count=50, mean=2.0),
        kind=Kind.STREAM,
        maximum=50,
        target=Target(latency=5.0, percentile=95.0),
    )
    assert decided("square-root", told).wanted == 23  # 16 + 1.645 * 4
    assert decided("square-root", told, beta=1.0).wanted == 20
