"""The guard, rule by rule."""

from __future__ import annotations

import math

import pytest

from common.domain.submission import Control
from controller.guard import Bounds, Past, grant, hold, staleness_limit
from controller.laws import Proposal

NOW = 1000.0
BOUNDS = Bounds(1, 10)
AT_FIVE = Past(5)


def granted(wanted: object, past: Past = AT_FIVE, bounds: Bounds = BOUNDS, **control: object):
    return grant(Proposal(wanted, "because"), bounds, Control.model_validate(control), past, NOW)  # type: ignore[arg-type]


def test_a_proposal_within_the_bounds_passes_without_comment() -> None:
    assert (granted(7).replicas, granted(7).reason) == (7, "")


@pytest.mark.parametrize(("wanted", "count"), [(0, 1), (-5, 1), (11, 10), (10**30, 10)])
def test_bounds_hold(wanted: int, count: int) -> None:
    answer = granted(wanted)
    assert answer.replicas == count
    assert "guard" in answer.reason


@pytest.mark.parametrize("wanted", [math.nan, math.inf, -math.inf, "7", None, True, [3]])
def test_what_is_no_count_holds(wanted: object) -> None:
    answer = granted(wanted)
    assert answer.replicas == 5
    assert "no number" in answer.reason


def test_steps_are_limited() -> None:
    assert granted(10, max_step_up=2).replicas == 7
    assert granted(1, max_step_down=3).replicas == 2
    assert granted(6, max_step_up=2).reason == ""


def test_cooldowns_hold_until_they_are_over() -> None:
    assert granted(9, Past(5, raised_at=NOW - 5), cooldown_up=10).replicas == 5
    assert granted(9, Past(5, raised_at=NOW - 10), cooldown_up=10).replicas == 9
    assert granted(2, Past(5, changed_at=NOW - 5), cooldown_down=10).replicas == 5
    assert granted(2, Past(5, changed_at=NOW - 10), cooldown_down=10).replicas == 2
    assert granted(9, Past(5, changed_at=NOW - 1), cooldown_up=10).replicas == 9, "a decrease does not delay increases"


def test_a_clock_that_stepped_back_does_not_prolong_a_cooldown() -> None:
    assert granted(9, Past(5, raised_at=NOW + 3600), cooldown_up=10).replicas == 9


def test_bounds_win_over_steps_and_cooldowns() -> None:
    past = Past(50, raised_at=NOW - 1, changed_at=NOW - 1)
    assert granted(50, past, max_step_down=1, cooldown_down=100).replicas == 10
    assert hold(BOUNDS, past, "held").replicas == 10


def test_a_cap_lowers_both_bounds() -> None:
    assert Bounds.of(2, 10, None) == Bounds(2, 10)
    assert Bounds.of(2, 10, 5) == Bounds(2, 5)
    assert Bounds.of(2, 10, 0) == Bounds(0, 0)
    assert Bounds.of(2, 10, 50) == Bounds(2, 10)


def test_staleness_has_a_floor() -> None:
    assert staleness_limit(1.0) == 15.0
    assert staleness_limit(60.0) == 180.0
