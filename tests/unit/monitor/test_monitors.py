from __future__ import annotations

import math
from typing import Any

import pytest
from pydantic import BaseModel

from common.domain.progress import Counts
from monitor.monitors import BUILT_IN, NoSettings, ProgressReading, faults_in, progress_of


def _reading(reported: dict[str, dict[str, float]] | None = None, previous: float = 0.0) -> ProgressReading:
    return ProgressReading(Counts(total=10, done=3, dead=1), 10.0, 100.0, reported or {}, previous)


@pytest.mark.parametrize("name", ["items", "kubejobs"])
def test_items_is_the_settled_share(name: str) -> None:
    assert progress_of(name, BUILT_IN, {}, _reading()) == (0.4, "")


@pytest.mark.parametrize(
    ("settings", "progress"),
    [
        ({"goal": 8.0}, 0.5),
        ({"goal": 8.0, "aggregate": "mean"}, 0.5),
        ({"goal": 10.0, "aggregate": "sum"}, 0.8),
        ({"goal": 8.0, "aggregate": "max"}, 0.75),
        ({"goal": 8.0, "aggregate": "min"}, 0.25),
        ({"goal": 8.0, "aggregate": "last"}, 0.75),
        ({"goal": 0.0, "start": 10.0}, 0.6),
        ({"goal": 0.0, "start": 10.0, "aggregate": "last"}, 0.8),
        ({"goal": 1.0}, 1.0),
        ({"goal": -4.0}, 0.0),
    ],
)
def test_metric_goes_from_start_to_goal(settings: dict[str, Any], progress: float) -> None:
    reading = _reading({"epoch": {"a": 2.0, "b": 6.0, "c": math.nan}})
    told, trouble = progress_of("metric", BUILT_IN, {"name": "epoch", **settings}, reading)
    assert told == pytest.approx(progress)
    assert trouble == ""


def test_metric_stays_where_it_was_until_somebody_reports() -> None:
    assert progress_of("metric", BUILT_IN, {"name": "epoch", "goal": 5}, _reading(previous=0.3)) == (0.3, "")


def test_unknown_monitor_gets_the_nearest_name() -> None:
    [fault] = faults_in(BUILT_IN, "item", {})
    assert fault.field == "plugin"
    assert "did you mean items?" in fault.problem


def test_unknown_monitor_that_is_near_none_gets_the_list() -> None:
    [fault] = faults_in(BUILT_IN, "zzzzzz", {})
    assert "items, kubejobs, metric" in fault.problem


def test_faults_in_settings_are_named_all_at_once() -> None:
    faults = {
        fault.field: fault.problem for fault in faults_in(BUILT_IN, "metric", {"gaol": 3, "name": "", "aggregate": "x"})
    }
    assert set(faults) == {f"plugin_info.settings.{field}" for field in ("gaol", "name", "aggregate", "goal")}
    assert "did you mean goal?" in faults["plugin_info.settings.gaol"]


def test_goal_must_differ_from_start() -> None:
    [fault] = faults_in(BUILT_IN, "metric", {"name": "loss", "goal": 1, "start": 1})
    assert "must differ" in fault.problem


def test_items_takes_no_settings_and_kubejobs_ignores_them() -> None:
    assert faults_in(BUILT_IN, "items", {"expected_time": 5})
    assert not faults_in(BUILT_IN, "kubejobs", {"expected_time": 5})


class _Answers:
    settings: type[BaseModel] = NoSettings

    def __init__(self, answer: object) -> None:
        self._answer = answer

    def progress(self, reading: ProgressReading, settings: object) -> Any:
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


@pytest.mark.parametrize("answer", [math.nan, math.inf, "half", None, ZeroDivisionError("x"), KeyError("gone")])
def test_a_monitor_that_fails_is_stood_in_for_and_named(answer: object) -> None:
    progress, trouble = progress_of("users", {"users": _Answers(answer)}, {}, _reading())
    assert progress == 0.4
    assert "users" in trouble


@pytest.mark.parametrize(("answer", "clamped"), [(-3, 0.0), (7, 1.0), (0.25, 0.25)])
def test_answers_are_clamped(answer: float, clamped: float) -> None:
    assert progress_of("users", {"users": _Answers(answer)}, {}, _reading()) == (clamped, "")


def test_a_monitor_that_went_away_is_stood_in_for_and_named() -> None:
    progress, trouble = progress_of("gone", BUILT_IN, {}, _reading())
    assert progress == 0.4
    assert "not installed" in trouble
