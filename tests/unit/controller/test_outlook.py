"""How a pile's work would go on."""

from __future__ import annotations

import heapq
import random
from collections import Counter
from collections.abc import Sequence

import pytest
from asperathos_worker.queue.histogram import bucket_of

from common.domain.progress import ServiceTimes
from controller.laws.estimate import item_time
from controller.laws.outlook import Outlook
from controller.laws.pace import Cost
from tests.unit.controller.plant import lognormal


def outlook(durations: Sequence[float], waiting: int, ready: int, running: int = 0, **given: float) -> Outlook:
    mean = sum(durations) / len(durations)
    service = ServiceTimes(
        count=len(durations),
        mean=mean,
        longest=max(durations),
        buckets=dict(Counter(map(bucket_of, durations))),
    )
    time = item_time(service)
    assert time is not None
    return Outlook(
        time=time,
        waiting=waiting,
        running=((0.0, float(running)),) if running else (),
        left=given.get("left", 1000.0),
        ready_replicas=ready,
        pending=0,
        still=0.0,
        startup=0.0,
        cost=Cost(mean, 0.0, float(ready)),
        repeats=1.0,
        most=40,
    )


def last_start(durations: Sequence[float], replicas: int) -> float:
    """When the last item starts if ``replicas`` take the items in order."""
    free = [0.0] * replicas
    begun = 0.0
    for seconds in durations:
        begun = heapq.heappop(free)
        heapq.heappush(free, begun + seconds)
    return begun


@pytest.mark.parametrize("spread", [0.1, 0.5, 1.0])
@pytest.mark.parametrize(("items", "replicas"), [(100, 25), (200, 20), (1000, 10), (60, 30)])
def test_the_last_item_starts_while_the_others_are_in_hand(spread: float, items: int, replicas: int) -> None:
    pile = [lognormal(items, 30.0, spread, seed=seed) for seed in range(20)]
    starts = sum(last_start(durations, replicas) for durations in pile) / len(pile)
    foreseen = outlook([seconds for durations in pile for seconds in durations], items, replicas)
    # Even ones that all start at once go on in step: their last start is still a little earlier.
    assert 0.85 * starts < foreseen.last_starts_in(replicas) < 1.4 * starts
    assert foreseen.empties_in(replicas) > foreseen.last_starts_in(replicas) > 0.0


def test_nobody_ends_late_where_nobody_waits_or_time_is_ample() -> None:
    durations = lognormal(200, 30.0, 0.5, seed=1)
    assert outlook(durations, 0, 5).chance(5) == pytest.approx(1.0)
    assert outlook(durations, 20, 20, left=1e5).chance(20) == pytest.approx(1.0, abs=1e-3)


def test_the_chance_rises_with_replicas_and_with_time() -> None:
    durations = lognormal(300, 30.0, random.Random(3).uniform(0.8, 1.2), seed=3)
    by_replicas = [outlook(durations, 200, 10, 10, left=400.0).chance(replicas) for replicas in range(1, 41)]
    assert by_replicas == sorted(by_replicas)
    by_time = [outlook(durations, 200, 10, 10, left=left).chance(20) for left in range(50, 1500, 50)]
    assert by_time == sorted(by_time)
    assert by_time[0] == 0.0 and by_time[-1] > 0.9
