"""A metric held at a target."""

from __future__ import annotations

from typing import Any

import pytest

from controller.laws import Memory, Proposal
from controller.laws.metric import Metric, MetricSettings
from tests.unit.controller.builders import START, observed, situation


def decide(
    value: float | None, memory: Memory | None = None, current: int = 4, at: float = 0.0, **settings: Any
) -> Proposal:
    metrics = {} if value is None else {"busy": value}
    seen = observed(metrics=metrics, observed=current, at=START + at)
    law = MetricSettings(metric="busy", target=0.5, **settings)
    return Metric().decide(situation(seen, current=current, maximum=20), law, memory or {})


@pytest.mark.parametrize(
    ("value", "settings", "wanted"),
    [
        (1.0, {}, 8),
        (0.74, {}, 6),
        (0.54, {}, 4),
        (0.46, {}, 4),
        (0.2, {}, 2),
        (0.0, {}, 1),
        (-3.0, {}, 1),
        (1e9, {}, 20),
        (0.25, {"falls": True}, 8),
        (0.0, {"falls": True}, 20),
        (4.9, {"kind": "total"}, 10),
        (2.1, {"kind": "total"}, 4),
    ],
)
def test_replicas_follow_the_ratio_to_the_target(value: float, settings: dict[str, Any], wanted: int) -> None:
    assert decide(value, **settings).wanted == wanted


def test_what_goes_beyond_max_is_infeasible() -> None:
    assert not decide(1e9).feasible
    assert decide(1.0).feasible


def test_a_metric_nobody_tells_holds_and_says_so() -> None:
    proposal = decide(None)
    assert proposal.wanted == 4
    assert "nobody tells the metric 'busy'" in proposal.reason


def test_replicas_go_only_when_they_were_too_many_for_long() -> None:
    first = decide(0.5, at=0.0, stabilization=30.0)
    low = decide(0.1, first.memory, at=10.0, stabilization=30.0)
    assert low.wanted == 4
    later = decide(0.1, low.memory, at=35.0, stabilization=30.0)
    assert later.wanted == 1


def test_what_starts_has_not_changed_the_metric_yet() -> None:
    seen = observed(metrics={"busy": 1.0}, observed=4, pending=4)
    law = MetricSettings(metric="busy", target=0.5)
    assert Metric().decide(situation(seen, current=8, maximum=20), law, {}).wanted == 8


def test_an_item_wakes_a_replica() -> None:
    seen = observed(ready=1, observed=0)
    law = MetricSettings(metric="busy", target=0.5)
    assert Metric().decide(situation(seen, minimum=0, current=0), law, {}).wanted == 1
