"""Outlooks as the cells of a table and as plain data. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from common.domain.units import format_duration
from simulator.outlook import Outlook

HEADINGS = (
    "submission",
    "law",
    "finish p50",
    "p10 .. p90",
    "goal met",
    "replica-h",
    "at work",
    "peak",
    "scalings",
)


def rows(outlooks: Sequence[Outlook]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Headings, and a row for each outlook. What it costs is told where one of them has a price."""
    if all(one.money is None for one in outlooks):
        return HEADINGS, [_cells(one) for one in outlooks]
    return (*HEADINGS, "money"), [(*_cells(one), _money(one)) for one in outlooks]


def _money(one: Outlook) -> str:
    return "-" if one.money is None else f"{one.money.p50:.2f}" if one.money.p50 < 100 else f"{one.money.p50:.0f}"


def _cells(one: Outlook) -> tuple[str, ...]:
    share = one.work_hours / one.replica_hours.p50 if one.replica_hours.p50 > 0 else 0.0
    return (
        one.name,
        one.law,
        _time(one.finish.p50),
        f"{_time(one.finish.p10)} .. {_time(one.finish.p90)}",
        _goal(one),
        f"{one.replica_hours.p50:.2f}" if one.replica_hours.p50 < 100 else f"{one.replica_hours.p50:.0f}",
        f"{share:.0%}",
        f"{one.peak.p50:.0f}",
        f"{one.scalings.p50:.0f}",
    )


def plain(one: Outlook) -> dict[str, Any]:
    """As JSON can say it: what is infinite is null."""
    return {name: _plain(value) for name, value in asdict(one).items()}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _time(seconds: float) -> str:
    return format_duration(seconds) if math.isfinite(seconds) else "never"


def _goal(one: Outlook) -> str:
    if one.chance is None:
        return "-"
    kept = f"{one.chance:.0%} of {one.runs}" if one.runs > 1 else ("yes" if one.chance else "no")
    return kept if one.within is None else f"{kept} ({one.within:.1%} in time)"
