"""k8s/prometheus: what the rules speak of is what the services tell."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.metrics_page import told

DIRECTORY = Path(__file__).parents[3] / "k8s" / "prometheus"
RULES: list[dict[str, Any]] = [
    rule for group in yaml.safe_load((DIRECTORY / "rules.yaml").read_text())["groups"] for rule in group["rules"]
]
_ENDINGS = {"histogram": ("_bucket", "_count", "_sum")}


def samples() -> dict[str, set[str]]:
    """Every sample's name that a service may tell, and its labels."""
    return {
        name + ending: {*labels, *(("le",) if ending == "_bucket" else ())}
        for name, (kind, labels, _) in told().items()
        for ending in _ENDINGS.get(kind, ("",))
    }


def test_what_is_told_is_found_here() -> None:
    names = samples()
    assert names["asperathos_request_seconds_bucket"] == {"service", "method", "route", "code", "le"}
    assert {"asperathos_decisions_total", "asperathos_loop_backlog", "asperathos_submissions"} <= names.keys()


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_each_rule_speaks_of_what_is_told(rule: dict[str, Any]) -> None:
    names = samples()
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
