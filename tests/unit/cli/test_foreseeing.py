"""Options of ``change`` as the patch they stand for, and forecasts as text."""

from __future__ import annotations

from typing import Any

import click
import pytest

from cli.commands.foreseeing import _patch, decision_line, forecast_pairs

NOTHING: dict[str, Any] = dict.fromkeys(
    ("deadline", "finish_in", "latency", "least", "most", "law", "interval", "priority")
) | {"settings": ()}


def patch(**given: Any) -> dict[str, Any]:
    return _patch({**NOTHING, **given}, lambda: 100.0)


def test_only_what_is_given_is_in_the_patch() -> None:
    assert patch() == {}
    assert patch(deadline="30m", most=5) == {"deadline": "30m", "replicas": {"max": 5}}
    assert patch(deadline="none") == {"deadline": None}
    assert patch(deadline="90") == {"deadline": 90}
    assert patch(least=0, priority="low") == {"replicas": {"min": 0}, "priority": "low"}
    assert patch(latency="2s") == {"target": {"latency": "2s"}}


def test_a_deadline_from_now_on_counts_from_acceptance() -> None:
    assert patch(finish_in="5m") == {"deadline": 400.0}
    with pytest.raises(click.BadParameter):
        patch(finish_in="soon")
    with pytest.raises(click.UsageError):
        patch(finish_in="5m", deadline="10m")


def test_settings_are_what_json_takes_them_for() -> None:
    settings = ("a=1", "b=true", "c=text", "d=", "e=[[0, 3]]", "f=x=y")
    assert patch(law="pid", settings=settings, interval="2s") == {
        "control": {
            "law": "pid",
            "interval": "2s",
            "settings": {"a": 1, "b": True, "c": "text", "d": None, "e": [[0, 3]], "f": "x=y"},
        }
    }
    for wrong in ("a", "=1"):
        with pytest.raises(click.BadParameter):
            patch(settings=(wrong,))


def test_a_forecast_leaves_out_what_is_not_known() -> None:
    assert forecast_pairs({"state": "loading", "basis": "nothing measured yet"}) == [
        ("state", "loading"),
        ("basis", "nothing measured yet"),
    ]
    told = dict(
        forecast_pairs(
            {
                "state": "ongoing",
                "finish": {"p10": 50.0, "p50": 60.0, "p90": 90.0},
                "margin": -30.0,
                "chance": 0.25,
                "late_by": 30.0,
                "basis": "the last decision",
                "age": 12.0,
                "cost": {
                    "replica_seconds": 7200.0,
                    "so_far": {"replica_seconds": 3600.0, "money": 0.5},
                    "projected": {"replica_seconds": 10800.0, "money": 1234.5},
                },
                "replicas": {"wanted": 4, "granted": 3, "law": "deadline", "reason": "late"},
                "endangered": ["kj-1", "kj-2"],
            }
        )
    )
    assert told["p10 / p50 / p90"] == "50s / 1m 00s / 1m 30s"
    assert (told["margin"], told["chance"], told["late by"]) == ("30s late", "25 %", "30s")
    assert told["basis"] == "the last decision, made 12s ago"
    assert told["cost so far"] == "1.00 replica-hours (3600 s); money: 0.50"
    assert told["cost to finish"] == "2.00 replica-hours (7200 s); no price is known"
    assert told["cost in all"] == "3.00 replica-hours (10800 s); money: 1234.50"
    assert told["replicas"] == "3 granted, 4 wanted by the law deadline"
    assert (told["because"], told["endangers"]) == ("late", "kj-1, kj-2")


def test_what_has_ended_took_so_long() -> None:
    told = dict(forecast_pairs({"state": "completed", "finish": {"p10": 5.0, "p50": 5.0, "p90": 5.0}, "chance": 1.0}))
    assert told == {"state": "completed", "took": "5s"}


def test_a_decision_is_a_line() -> None:
    told = {"at": "now", "progress": "5 %", "outstanding": 4, "wanted": 3, "asked": 3, "granted": 2, "reason": "[so]"}
    assert decision_line(told).split() == ["now", "5", "%", "4", "3", "3", "2", "[so]"]
