"""A budget, alone and around another law."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from controller.laws import Memory, Proposal
from controller.laws.cost import Cost, CostSettings
from controller.laws.deadline import Deadline, DeadlineSettings
from tests.unit.controller.builders import START, observed, situation


def decide(settings: CostSettings, memory: Memory | None = None, **seen: Any) -> Proposal:
    return Cost().decide(situation(observed(**seen), maximum=40), settings, memory or {})


def test_the_budget_is_used_in_full() -> None:
    proposal = decide(CostSettings(budget=3.5, price=0.5))
    assert proposal.wanted == 7
    assert "3.5 an hour at 0.5 a replica allow 7" in proposal.reason


def test_the_measured_price_stands_in_for_the_settings_one() -> None:
    assert decide(CostSettings(budget=3.5), price=0.25).wanted == 14


def test_without_a_price_it_holds() -> None:
    proposal = decide(CostSettings(budget=3.5))
    assert proposal.wanted == 2
    assert "monitoring.prices" in proposal.reason


def test_no_more_replicas_than_items_are_paid_for() -> None:
    assert decide(CostSettings(budget=30.0, price=1.0), ready=3, leased=1).wanted == 4


def test_a_budget_below_min_is_infeasible() -> None:
    proposal = decide(CostSettings(budget=0.5, price=1.0))
    assert proposal.wanted == 1
    assert not proposal.feasible
    assert "min is 1" in proposal.reason


def test_what_is_asked_for_is_paid_until_the_total_is_spent() -> None:
    settings = CostSettings(total=1.0, price=3600.0 / 100.0)
    # A replica costs 0.01 a second: ten of them spend 1.0 in ten seconds.
    first = decide(settings, requested=10, at=START)
    assert first.wanted == 20, "1.0 lasts twenty replicas for an interval of five seconds"
    second = decide(settings, first.memory, requested=10, at=START + 5.0)
    assert second.memory["spent"] == pytest.approx(0.5)
    assert second.wanted == 10
    last = decide(settings, second.memory, requested=10, at=START + 10.0)
    assert last.wanted == 1
    assert not last.feasible


def test_another_law_decides_within_the_budget() -> None:
    seen = {"deadline": 600.0, "elapsed": 10.0, "ready": 500, "done": 20, "count": 20, "mean": 10.0, "deviation": 3.0}
    alone = Deadline().decide(situation(observed(**seen), maximum=40), DeadlineSettings(), {})
    poor = decide(CostSettings(budget=5.0, price=1.0, law="deadline"), **seen)
    rich = decide(CostSettings(budget=40.0, price=1.0, law="deadline"), **seen)
    assert alone.feasible
    assert (rich.wanted, rich.feasible) == (alone.wanted, True)
    assert (poor.wanted, poor.feasible) == (5, False)
    assert "late" in poor.reason


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({}, "budget"),
        ({"budget": 1.0, "settings": {"slack": 1}}, "name it in law"),
        ({"budget": 1.0, "law": "deadline", "settings": {"confidence": 7}}, "confidence"),
    ],
)
def test_settings_that_make_no_sense_are_refused(given: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        CostSettings.model_validate(given)
