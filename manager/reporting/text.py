"""A report for a terminal or a mail. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from common.domain.units import format_duration
from manager.reporting.report import Report, against_deadline, headline
from manager.reporting.spreads import Spread

Pairs = list[tuple[str, str]]
_FEW = 5
_CONTROLS = dict.fromkeys([*range(0x20), *range(0x7F, 0xA0)], "\ufffd")
"""A report is printed: what an item or its program says must not steer a terminal."""


def text(report: Report, detailed: bool) -> str:
    """The report as lines. ``detailed``: every failure that is told, every change of replicas, the story."""
    lines = [f"{headline(report)}", ""]
    pairs = figures(report)
    width = max(len(name) for name, _ in pairs)
    lines += [f"{name:<{width}}  {value}" for name, value in pairs]
    lines += _failures(report, None if detailed else _FEW)
    if detailed:
        lines += ["", "changes of replicas"] + [f"  {line}" for line in _changes(report)]
        lines += ["", "story"] + [
            f"  {moment(event.at)} {'!' if event.warning else ' '} {event.kind:<9} {event.message}"
            for event in report.events
        ]
    return "\n".join(_printable(line) for line in lines) + "\n"


def figures(report: Report) -> Pairs:
    """What it came to, as names and texts; what is not known is left out."""
    told, counts, economy = report.status, report.status["counts"], report.economy
    total = counts["total"] if counts["total"] is not None else counts["done"] + counts["dead"]
    outstanding = counts["ready"] + counts["delayed"] + counts["leased"]
    took = told.get("execution_time", told["elapsed"])
    pairs = [
        ("submission", f"{report.id} ({report.title})"),
        ("state", str(told["state"])),
        ("reason", str(told.get("reason") or "")),
        ("items", f"{counts['done']} done, {counts['dead']} dead of {total}"),
        ("left undone" if report.complete else "outstanding", str(outstanding) if outstanding else ""),
        ("failed attempts", str(report.failures.failed_total or "")),
        ("took", format_duration(took)),
        ("deadline", _deadline(told)),
        ("law", str(told.get("scaling_strategy") or told["law"])),
        ("replica-seconds", f"{economy.replica_seconds:.1f} ({economy.replica_seconds / 3600:.2f} replica-hours)"),
        ("cost", "" if economy.money is None else f"{economy.money:.4g} at {economy.price or 0:g} per replica-hour"),
        ("needed", _needed(report)),
        ("peak replicas", str(told.get("peak_replicas") or "")),
        ("scalings", str(told.get("scalings", ""))),
        ("rate", f"{counts['done'] / took:.3g} items/s" if took > 0 and counts["done"] else ""),
        ("item time", _spread(report.times.service)),
        ("item wait", _spread(report.times.wait)),
        *_errors(told),
        ("kept until", moment(report.kept_until) if report.kept_until else ""),
    ]
    return [(name, value) for name, value in pairs if value]


def moment(at: float) -> str:
    """A moment, in UTC."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def _deadline(told: Any) -> str:
    if told["deadline"] is None:
        return "none"
    return ": ".join(filter(None, (format_duration(told["deadline"]), against_deadline(told))))


def _needed(report: Report) -> str:
    economy = report.economy
    if economy.needed_replicas is None or economy.needed_replica_seconds is None:
        return ""
    excess = "" if economy.excess is None else f", {economy.excess:.0%} held beyond them"
    over = "" if economy.over is None else f"; {economy.over:.2f} times that was used"
    plural = "" if economy.needed_replicas == 1 else "s"
    return (
        f"{economy.needed_replicas} replica{plural}, {economy.needed_replica_seconds:.1f} replica-seconds{over}{excess}"
    )


def _spread(spread: Spread | None) -> str:
    if spread is None:
        return ""
    named = {"mean": spread.mean, "p50": spread.p50, "p95": spread.p95, "p99": spread.p99, "longest": spread.longest}
    return "  ".join(f"{name} {format_duration(value)}" for name, value in named.items())


def _errors(told: Any) -> Iterator[tuple[str, str]]:
    for name in ("final_error", "max_error", "min_error"):
        value = told.get(name)
        if value:
            yield name.replace("_", " "), f"{value[0]:+.3f} at {value[1]}"


def _failures(report: Report, most: int | None) -> Sequence[str]:
    dead = report.failures.dead[:most]
    lines = [f"  item {one.id}, attempt {one.attempt} on {one.worker or '?'}: {one.error}" for one in dead]
    left = report.failures.dead_total - len(dead)
    if left > 0 and lines:
        lines.append(f"  ... and {left} more")
    return ["", "dead items", *lines] if lines else []


def _changes(report: Report) -> Iterator[str]:
    for one in report.decisions:
        if one.granted != one.previous:
            yield f"{moment(one.at)}  {one.previous} -> {one.granted}  {one.reason}"


def _printable(line: str) -> str:
    return line.translate(_CONTROLS)
