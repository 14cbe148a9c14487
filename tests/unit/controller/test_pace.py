"""What an item costs, and contention."""

from __future__ import annotations

import pytest

from controller.laws.pace import Cost, Pace
from tests.unit.controller.builders import START, observed, situation


def after(counts: list[tuple[int, float]], seconds: float = 10.0) -> Pace:
    """The pace after looks with so many replicas, of which each settles items at that rate per second."""
    pace, done, at = Pace(), 0.0, START
    for replicas, rate in counts:
        at, done = at + seconds, done + replicas * rate * seconds
        seen = observed(at=at, ready=500, leased=0, done=int(done), total=2000, observed=replicas)
        pace = pace.looked(situation(seen, interval=seconds), 10.0)
    return pace


def test_a_plant_without_contention_costs_the_service_time() -> None:
    cost = after([(4, 0.1)] * 10 + [(12, 0.1)] * 30).cost(10.0, 3.0, 12)
    assert cost.at(12) == pytest.approx(10.0, rel=0.05)
    assert cost.at(30) == pytest.approx(10.0, rel=0.05)


def test_a_saturated_plant_settles_no_more_with_more_replicas() -> None:
    """Past four replicas the rate stays that of four."""
    looks = [(4, 0.1)] * 30 + [(8, 0.05)] * 30 + [(12, 0.1 / 3)] * 30
    cost = after(looks).cost(10.0, 3.0, 12)
    assert cost.slope > 0
    assert 24 / cost.at(24) < 1.3 * (12 / cost.at(12))
    assert 24 / cost.at(24) >= 12 / cost.at(12) - 1e-9


def test_chance_does_not_pass_for_contention() -> None:
    looks = [(4, 0.1), (6, 0.09)] * 3
    assert after(looks).cost(10.0, 20.0, 6).slope == 0.0


def test_cost_stays_positive() -> None:
    assert Cost(10.0, 1.0, 10.0).at(0) > 0
