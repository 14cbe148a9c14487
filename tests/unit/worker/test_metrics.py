from __future__ import annotations

import math

import pytest
from asperathos_worker.clock import ManualClock
from asperathos_worker.metrics import INTERVAL, NAMES, Metrics


def test_the_last_value_is_sent_and_not_before_its_time() -> None:
    clock = ManualClock()
    metrics = Metrics(clock)
    woken = []
    metrics.woken = lambda: woken.append(1)
    assert metrics.due() is None
    metrics.put("loss", 0.5)
    metrics.put("loss", 0.25)
    due = metrics.due()
    assert due is not None and due <= clock.now()
    assert metrics.take() == {"loss": 0.25}
    assert metrics.due() is None
    metrics.put("loss", 1)
    assert metrics.due() == clock.now() + INTERVAL
    assert len(woken) == 2


def test_what_did_not_get_through_is_sent_later_unless_replaced() -> None:
    metrics = Metrics(ManualClock())
    metrics.put("a", 1)
    metrics.put("b", 1)
    values = metrics.take()
    metrics.put("a", 2)
    metrics.give_back(values)
    assert metrics.take() == {"a": 2.0, "b": 1.0}


@pytest.mark.parametrize("name", ["", "x" * 101, "two\nlines", None, 7])
def test_unusable_names(name: str) -> None:
    with pytest.raises(ValueError, match="metric name"):
        Metrics(ManualClock()).put(name, 1)


@pytest.mark.parametrize("value", ["many", None, [1]])
def test_what_is_no_number(value: float) -> None:
    with pytest.raises(ValueError, match="loss must be a number"):
        Metrics(ManualClock()).put("loss", value)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_values_that_are_not_finite_are_ignored(value: float) -> None:
    metrics = Metrics(ManualClock())
    metrics.put("loss", value)
    assert metrics.due() is None


def test_the_number_of_names_is_bounded() -> None:
    metrics = Metrics(ManualClock())
    for number in range(NAMES):
        metrics.put(f"m{number}", number)
    metrics.put("m0", 7)
    with pytest.raises(ValueError, match="one too many"):
        metrics.put("another", 1)
