"""What is believed of an item's time."""

from __future__ import annotations

import math
from collections import Counter

import pytest
from asperathos_worker.queue.histogram import bucket_of

from common.domain.history import History
from common.domain.progress import ServiceTimes
from controller.laws.estimate import ItemTime, item_time
from tests.unit.controller.plant import lognormal


def times(durations: list[float], running: tuple[float, ...] = ()) -> ServiceTimes:
    mean = sum(durations) / len(durations)
    return ServiceTimes(
        count=len(durations),
        mean=mean,
        deviation=(sum((d - mean) ** 2 for d in durations) / len(durations)) ** 0.5,
        longest=max(durations),
        running=running,
        buckets=dict(Counter(map(bucket_of, durations))),
    )


def believed(*given: object, **named: object) -> ItemTime:
    time = item_time(*given, **named)  # type: ignore[arg-type]
    assert time is not None
    return time


def test_nothing_is_believed_of_nothing() -> None:
    assert item_time(ServiceTimes(running=(5.0, 1.0))) is None


@pytest.mark.parametrize("variation", [0.1, 0.5, 1.0])
def test_many_items_tell_their_mean_and_spread(variation: float) -> None:
    durations = lognormal(2000, 10.0, variation, seed=4)
    time = believed(times(durations))
    assert time.mean == pytest.approx(sum(durations) / len(durations), rel=0.1)
    assert time.variation == pytest.approx(variation, rel=0.35, abs=0.1)
    ordered = sorted(durations)
    for share in (0.25, 0.5, 0.9):
        assert time.outlasts(ordered[int(share * len(ordered))]) == pytest.approx(1.0 - share, abs=0.1)


def test_what_was_never_seen_keeps_about_one_chance_in_n() -> None:
    durations = lognormal(200, 10.0, 1.0, seed=1)
    time = believed(times(durations))
    assert 0.1 / 200 < time.outlasts(max(durations)) < 4.0 / 200
    assert time.outlasts(3.0 * max(durations)) < time.outlasts(max(durations))


def test_even_items_leave_little_to_fear_and_uneven_ones_more() -> None:
    even, uneven = believed(times([10.0] * 100)), believed(times(lognormal(100, 10.0, 2.0, seed=2)))
    assert even.outlasts(30.0) < 0.002
    assert uneven.outlasts(30.0) > 10 * even.outlasts(30.0)


def test_nothing_outlasts_its_timeout_but_some_nearly_take_it() -> None:
    time = believed(times([10.0] * 50), None, 15.0, items=100)
    assert time.outlasts(15.0) == 0.0
    assert time.outlasts(14.0) > 0.0


def test_running_items_are_survivors() -> None:
    alone = believed(times([2.0] * 10))
    beside = believed(times([2.0] * 10, running=(30.0,) * 10))
    assert beside.outlasts(20.0) > 0.3 > alone.outlasts(20.0)
    assert beside.mean > 3.0 * alone.mean


def test_a_hint_counts_as_a_few_items() -> None:
    assert believed(ServiceTimes(), 20.0).mean == pytest.approx(20.0, rel=0.2)
    assert believed(times([5.0] * 300), 20.0).mean == pytest.approx(5.0, rel=0.1)


def test_history_tells_before_the_first_item_and_fades_behind_many() -> None:
    history = History(submissions=1, service=times(lognormal(500, 10.0, 0.5, seed=3)))
    assert believed(ServiceTimes(), history=history).mean == pytest.approx(10.0, rel=0.1)
    assert believed(times([40.0] * 2000), history=history).mean == pytest.approx(40.0, rel=0.1)


def test_a_deadline_that_is_possible_bounds_the_tail() -> None:
    heavy = times(lognormal(60, 10.0, 2.0, seed=7))
    free, bound = believed(heavy), believed(heavy, possible=300.0, items=1000)
    assert 1000 * bound.outlasts(300.0) < 0.5 < 1000 * free.outlasts(300.0)
    assert bound.mean == free.mean


def test_exposure_grows_with_a_later_start_and_falls_with_more_time() -> None:
    time = believed(times(lognormal(300, 10.0, 1.0, seed=9)))
    exposed = time.exposure(100.0)
    assert exposed(20.0) > exposed(60.0) > exposed(100.0) == 0.0
    assert time.exposure(150.0)(70.0) < exposed(20.0)


def test_a_deadline_leaves_room_for_the_longest_item_but_for_one_that_is_known() -> None:
    service = times(lognormal(60, 10.0, 1.0, seed=7))
    assert believed(service, possible=300.0, items=100).bound == pytest.approx(200.0)
    assert believed(service, possible=service.longest, items=100).bound == service.longest
    assert math.isinf(believed(service).bound)


def test_a_timeout_tells_of_long_items_the_more_the_nearer_the_known_ones_come() -> None:
    service = times(lognormal(60, 10.0, 0.3, seed=7))
    chances = [believed(service, timeout=timeout, items=100).outlasts(0.9 * timeout) for timeout in (60.0, 600.0)]
    free = believed(service)
    assert chances[0] > chances[1] > free.outlasts(540.0)
    assert 100 * chances[1] < 0.2
