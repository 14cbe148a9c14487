"""When it will end, as told before and while it runs."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.domain.history import History
from common.domain.progress import Counts, Observation
from common.domain.submission import Kind
from controller.forecast import forecast
from controller.laws import Situation
from controller.laws.deadline import Deadline, DeadlineSettings
from tests.unit.controller.builders import START, observed, situation
from tests.unit.controller.plant import Plant, lognormal, request_for, simulate
from tests.unit.controller.test_estimate import times


def before_it_runs(items: int, deadline: float | None, **given: object) -> Situation:
    seen = Observation(
        submission="x", at=START, elapsed=0.0, deadline=deadline, counts=Counts(total=items, ready=items)
    )
    return situation(seen, current=0, maximum=20, **given)


def test_a_dry_run_tells_from_the_expected_item_time() -> None:
    dry = before_it_runs(200, 600.0, expected_item_time=10.0)
    told = forecast(dry, Deadline().decide(dry, DeadlineSettings(), {}).wanted)
    assert told.p50 is not None
    assert told.chance is not None
    assert 120.0 < told.p50 <= 620.0
    assert told.chance > 0.6
    assert told.feasible
    assert told.replica_seconds == pytest.approx(2000.0, rel=0.4)


def test_history_narrows_what_is_told() -> None:
    history = History(submissions=2, service=times(lognormal(200, 10.0, 0.3, seed=1)), startup=3.0)
    hinted = forecast(before_it_runs(200, 600.0, expected_item_time=10.0), 5)
    known = forecast(before_it_runs(200, 600.0, history=history), 5)
    assert None not in (hinted.p5, hinted.p95, known.p5, known.p95)
    assert known.p95 - known.p5 < hinted.p95 - hinted.p5  # type: ignore[operator]
    assert known.chance is not None
    assert known.chance > 0.9


def test_nothing_known_tells_nothing() -> None:
    told = forecast(before_it_runs(200, 600.0), 5)
    assert (told.p50, told.chance, told.replica_seconds) == (None, None, None)
    assert told.wanted == 5
    assert told.reason


def test_quantiles_are_in_order() -> None:
    told = forecast(situation(observed(service=times(lognormal(48, 10.0, 1.0, seed=2)), deadline=400.0)), 4)
    quantiles = [told.p5, told.p10, told.p50, told.p90, told.p95]
    assert quantiles == sorted(quantiles)  # type: ignore[type-var]
    assert quantiles[0] > 100.0  # type: ignore[operator]


def test_an_infeasible_deadline_is_told_with_its_lateness() -> None:
    seen = observed(service=times([10.0] * 48), ready=500, total=550, deadline=110.0)
    told = forecast(situation(seen), 10)
    assert not told.feasible
    assert told.late_by == pytest.approx(500.0, rel=0.1)
    assert told.chance == pytest.approx(0.0, abs=1e-6)


def test_without_steering_the_replicas_stay() -> None:
    seen = observed(
        service=times([10.0] * 48), ready=100, leased=0, total=148, deadline=4000.0, observed=2, startup=1.0
    )
    told = forecast(situation(seen), 10, is_steered=False)
    assert told.p50 == pytest.approx(100.0 + 100.0, rel=0.15)


def test_what_is_over_is_over() -> None:
    told = forecast(situation(observed(ready=0, leased=0, done=100, deadline=200.0)), 1)
    assert (told.p5, told.p95, told.replica_seconds) == (100.0, 100.0, 0.0)


def test_a_stream_has_no_end() -> None:
    assert forecast(situation(observed(), kind=Kind.STREAM), 3, reason="busy").p50 is None


def test_the_median_is_near_the_truth_half_way() -> None:
    """Even items, deadlines from tight to loose: the law is foreseen to use the time it has."""
    for seed, slackness in ((1, 1.5), (2, 2.5), (3, 4.0)):
        items = lognormal(150, 10.0, 0.5, seed=seed)
        deadline = 10.0 + slackness * sum(items) / 12
        seen: list[Observation] = []

        def noted(observation: Observation, kept: list[Observation] = seen) -> Observation:
            kept.append(observation)
            return observation

        run = simulate(Plant(items), request_for("deadline", maximum=30, interval=5.0), deadline, disturb=noted)
        half = next(each for each in seen if each.counts.progress >= 0.5)
        told = forecast(situation(half, maximum=30, current=half.replicas.desired), half.replicas.desired)
        assert told.p50 == pytest.approx(run.finished, rel=0.15)


def test_the_law_does_not_let_the_chance_go_below_what_the_most_replicas_have() -> None:
    """Late by the course it is on, but there are replicas to spare: the law will ask for them."""
    seen = observed(service=times([10.0] * 48), ready=200, total=250, deadline=320.0, observed=8, startup=1.0)
    roomy = forecast(situation(seen, maximum=40), 8)
    assert roomy.chance is not None and roomy.p90 is not None
    assert roomy.chance >= 0.95
    assert roomy.p90 <= 320.0
    alone = forecast(situation(seen, maximum=8), 8)
    assert alone.chance is not None and alone.p50 is not None
    assert alone.chance < 0.5
    assert alone.p50 > 320.0


def test_what_the_law_has_said_already_is_not_asked_again() -> None:
    told = situation(observed(service=times([10.0] * 48), deadline=400.0))
    proposal = Deadline().decide(told, DeadlineSettings(), {})
    assert forecast(told, 4, proposal=proposal) == forecast(told, 4)


@settings(max_examples=100, deadline=None)
@given(
    st.integers(0, 400),
    st.integers(0, 40),
    st.floats(0.01, 2.5),
    st.floats(20.0, 5000.0),
    st.integers(1, 40),
    st.booleans(),
)
def test_quantiles_rise_and_agree_with_the_chance(
    ready: int, leased: int, variation: float, deadline: float, replicas: int, steered: bool
) -> None:
    seen = observed(
        service=times(lognormal(48, 10.0, variation, seed=3)),
        ready=ready,
        leased=leased,
        total=ready + leased + 48,
        deadline=deadline,
    )
    told = forecast(situation(seen, maximum=40), replicas, is_steered=steered)
    quantiles = {0.05: told.p5, 0.1: told.p10, 0.5: told.p50, 0.9: told.p90, 0.95: told.p95}
    assert None not in quantiles.values()
    found = [(share, seconds) for share, seconds in quantiles.items() if seconds is not None]
    assert all(first <= second for (_, first), (_, second) in pairwise(found))
    assert all(math.isfinite(seconds) and seconds >= 100.0 for _, seconds in found)
    if ready + leased and told.chance is not None:
        assert 0.0 <= told.chance <= 1.0
        for share, seconds in found:
            # The nearer of two neighbouring times decides, and quantiles are told to two tenths of a percent.
            if seconds < deadline * 0.99:
                assert told.chance >= share - 0.02
            if seconds > deadline * 1.01:
                assert told.chance <= share + 0.02
