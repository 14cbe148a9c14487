"""k8s/prometheus: what the rules speak of is what the services tell."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from common.http.telemetry import PROSPECTS, QUEUE_ITEMS, SUBMISSIONS, Telemetry
from tests.fakes.clock import FakeClock

DIRECTORY = Path(__file__).parents[3] / "k8s" / "prometheus"
RULES: list[dict[str, Any]] = [
    rule for group in yaml.safe_load((DIRECTORY / "rules.yaml").read_text())["groups"] for rule in group["rules"]
]
READINGS = (SUBMISSIONS, QUEUE_ITEMS, PROSPECTS)


def told() -> dict[str, set[str]]:
    """Every sample's name that a service may tell, and its labels."""
    telemetry = Telemetry("svc", "1")
    found: dict[str, set[str]] = {reading.name: {"service", reading.label} for reading in READINGS}
    for collector in vars(telemetry).values():
        name, labels = getattr(collector, "_name", ""), set(getattr(collector, "_labelnames", ()))
        for ending in {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum")}.get(
            getattr(collector, "_type", ""), ("",)
        ):
            found[name + ending] = labels | ({"le"} if ending == "_bucket" else set())
    return {**found, "asperathos_build_info": {"service", "version"}}


def test_what_is_told_is_found_here() -> None:
    names = told()
    assert names["asperathos_request_seconds_bucket"] == {"service", "method", "route", "code", "le"}
    assert {"asperathos_decisions_total", "asperathos_loop_backlog", "asperathos_submissions"} <= names.keys()
    telemetry = Telemetry("svc", "1")
    for reading in READINGS:
        telemetry.tell(reading, lambda: {"x": 1.0}, FakeClock())
    families = re.findall(r"^# TYPE (\S+) ", telemetry.exposition().decode(), re.M)
    missing = [name for name in families if name not in names and name + "_bucket" not in names]
    assert missing == []


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_each_rule_speaks_of_what_is_told(rule: dict[str, Any]) -> None:
    names = told()
    used = re.findall(r"(asperathos_\w+)(?:\{([^}]*)\})?", rule["expr"])
    assert used
    for name, matchers in used:
        assert name in names, name
        assert {*re.findall(r"(\w+)(?:=~|!~|!=|=)", matchers)} <= names[name], (name, matchers)
    for labels in re.findall(r"by \(([^)]*)\)", rule["expr"]):
        assert {label.strip() for label in labels.split(",")} <= set().union(*(names[name] for name, _ in used))


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_each_rule_says_what_it_means_and_what_to_do(rule: dict[str, Any]) -> None:
    assert rule["alert"].startswith("Asperathos")
    assert rule["labels"]["severity"] in ("info", "warning", "critical")
    assert rule["annotations"]["summary"].endswith(".") and rule["annotations"]["description"].endswith(".")


def test_names_are_unique() -> None:
    assert len({rule["alert"] for rule in RULES}) == len(RULES) == 13


def test_settings_and_commands_that_are_named_exist() -> None:
    text = (DIRECTORY / "rules.yaml").read_text()
    known = (DIRECTORY.parents[1] / "docs" / "settings.md").read_text()
    assert all(name in known for name in re.findall(r"ASPERATHOS_\w+", text))
