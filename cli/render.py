"""Status objects as text: tables, bars, one-line progress. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from common.domain.units import format_duration

TERMINAL_STATES = frozenset({"completed", "failed", "stopped", "terminated", "error"})
_COLOURS = {
    "completed": "green",
    "ongoing": "cyan",
    "loading": "cyan",
    "failed": "red",
    "error": "red",
    "stopped": "yellow",
    "terminated": "yellow",
}


_CONTROLS = dict.fromkeys([*range(0x20), *range(0x7F, 0xA0)], "\ufffd")


def printable(text: object) -> str:
    """The text without what would steer a terminal: an item's error may hold anything."""
    return str(text).translate(_CONTROLS)


def state_style(state: str) -> str:
    """The colour of a state, empty for none."""
    return _COLOURS.get(state, "")


def state_text(state: str) -> str:
    """The state in its colour (rich markup)."""
    colour = state_style(state)
    return f"[{colour}]{state}[/{colour}]" if colour else state


@dataclass(frozen=True)
class Glyphs:
    """What bars and sparklines are made of; ``levels`` go from low to high."""

    full: str
    empty: str
    mark: str
    levels: str


BLOCKS = Glyphs("█", "░", "┃", "▁▂▃▄▅▆▇█")
ASCII = Glyphs("#", ".", "|", "_.-:=+*#")
"""For terminals and files that know nothing else."""


def bar(share: float, width: int, mark: float | None = None, glyphs: Glyphs = BLOCKS) -> str:
    """A bar of ``width`` cells filled to ``share``; ``mark`` (the time used up) is shown as a vertical line."""
    filled = round(max(0.0, min(1.0, share)) * width)
    cells = [glyphs.full] * filled + [glyphs.empty] * (width - filled)
    if mark is not None and width:
        at = min(width - 1, int(max(0.0, min(1.0, mark)) * width))
        cells[at] = glyphs.mark
    return "".join(cells)


def sparkline(values: Sequence[float], width: int, glyphs: Glyphs = BLOCKS) -> str:
    """The latest ``width`` values as small columns between zero and the highest of them."""
    shown = (
        [max(0.0, value) if math.isfinite(value) else 0.0 for value in values[max(0, len(values) - width) :]]
        if width > 0
        else []
    )
    top = max(shown, default=0.0)
    last = len(glyphs.levels) - 1
    return "".join(glyphs.levels[round(value / top * last) if top > 0 else 0] for value in shown)


def percent(share: float | None) -> str:
    """``42 %``, or a dash when unknown."""
    return "–" if share is None else f"{share * 100:.0f} %"


def duration(seconds: float | None) -> str:
    """A short duration, or a dash when unknown."""
    return "–" if seconds is None else format_duration(seconds)


def moment(seconds: float | None) -> str:
    """A moment in local time, or a dash when unknown."""
    if seconds is None:
        return "–"
    return datetime.fromtimestamp(seconds, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def deadline_text(status: Mapping[str, Any]) -> str:
    """How the submission stands against its deadline."""
    deadline = status.get("deadline")
    if deadline is None:
        return "no deadline"
    if status.get("state") in TERMINAL_STATES:
        met, margin = status.get("deadline_met"), status.get("deadline_margin")
        if met is None or margin is None:
            return f"deadline {format_duration(deadline)}"
        return f"{'met' if met else 'missed'} by {format_duration(abs(margin))}"
    left = deadline - (status.get("elapsed") or 0.0)
    return f"{format_duration(left)} left" if left >= 0 else f"{format_duration(-left)} over"


def settled(status: Mapping[str, Any]) -> str:
    """How many items are done or dead, of how many."""
    counts = status.get("counts") or {}
    total = counts.get("total")
    return f"{(counts.get('done') or 0) + (counts.get('dead') or 0)}/{total if total is not None else '?'}"


def progress_line(status: Mapping[str, Any], width: int, glyphs: Glyphs = BLOCKS) -> str:
    """One line that says how a submission is doing, at most ``width`` characters wide."""
    counts = status.get("counts") or {}
    replicas = status.get("replicas") or {}
    parts = [
        str(status.get("state", "")),
        percent(status.get("progress")),
        f"{settled(status)} items",
        f"{replicas.get('observed', 0)} replica{'' if replicas.get('observed') == 1 else 's'}",
        deadline_text(status),
    ]
    eta = status.get("eta")
    if eta is not None and status.get("state") not in TERMINAL_STATES:
        parts.append(f"ready in {format_duration(eta)}")
    if counts.get("dead"):
        parts.append(f"{counts['dead']} dead")
    text = "  ".join(parts)
    room = width - len(text) - 3
    if room >= 8:
        used = status.get("time_progress") if status.get("deadline") else None
        text = f"{bar(status.get('progress') or 0.0, min(room, 40), used, glyphs)}  {text}"
    return text[:width]
