from __future__ import annotations

import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from common.plugins import MONITORS, load_plugins
from monitor.monitors import BUILT_IN, ItemsMonitor, MetricMonitor, items
from monitor.plugins import checked, installed


def test_ours_are_always_there() -> None:
    assert set(BUILT_IN) <= set(installed())


def test_ours_are_registered_under_their_names() -> None:
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())["project"]
    entries = [EntryPoint(name, value, MONITORS) for name, value in project["entry-points"][MONITORS].items()]
    assert load_plugins(MONITORS, checked, entries).found == BUILT_IN


def test_a_class_is_made_an_object() -> None:
    assert isinstance(checked(MetricMonitor), MetricMonitor)
    assert checked(items) is items


class _NoSettings:
    def progress(self, reading: object, settings: object) -> float:
        return 1.0


class _NoProgress:
    settings = ItemsMonitor().settings


@pytest.mark.parametrize("wrong", [_NoSettings, _NoProgress(), "text", 5, None])
def test_what_is_no_monitor_is_refused(wrong: object) -> None:
    with pytest.raises(TypeError):
        checked(wrong)
