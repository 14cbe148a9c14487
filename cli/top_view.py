"""What ``asperathos top`` draws: all submissions, one a line, with as many columns as there is room for. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.text import Text

from cli.polling import Heard, silence
from cli.render import (
    BLOCKS,
    TERMINAL_STATES,
    Glyphs,
    bar,
    duration,
    percent,
    printable,
    settled,
    sparkline,
    state_style,
)
from cli.watch_view import chance_style
from common.domain.units import format_duration

Status = Mapping[str, Any]
Rows = Mapping[str, Status]
_GAP = 2
_LEAST_BAR, _MOST_BAR = 4, 24
_PERCENT = 6
_TREND = 10


def _left(status: Status) -> float:
    """Seconds until the deadline; those without one come last, and those that have ended after them."""
    if status.get("state") in TERMINAL_STATES:
        return math.inf
    deadline = status.get("deadline")
    return 1e300 if deadline is None else float(deadline) - float(status.get("elapsed") or 0.0)


def _chance(status: Status) -> float | None:
    chance = (status.get("forecast") or {}).get("chance")
    return None if chance is None or status.get("state") in TERMINAL_STATES else float(chance)


def _observed(status: Status) -> int:
    return int((status.get("replicas") or {}).get("observed") or 0)


SORTS: Mapping[str, Callable[[Status], Any]] = {
    "deadline": _left,
    "chance": lambda status: 2.0 if _chance(status) is None else _chance(status),
    "eta": lambda status: math.inf if status.get("eta") is None else status["eta"],
    "progress": lambda status: -float(status.get("progress") or 0.0),
    "replicas": lambda status: -_observed(status),
    "rate": lambda status: -float(status.get("throughput") or 0.0),
    "age": lambda status: -float(status.get("created_at") or 0.0),
    "state": lambda status: str(status.get("state")),
    "name": lambda status: str(status.get("name")),
}
"""Orders by name, the most pressing first: least time left, least chance, soonest end, most done, most replicas,
fastest, youngest."""


@dataclass(frozen=True)
class Board:
    """What is shown: the submissions as last heard of, their rates lately, and how to order them."""

    heard: Heard[Rows]
    rates: Mapping[str, Sequence[float]] = field(default_factory=dict)
    sort: str = "deadline"
    reverse: bool = False
    glyphs: Glyphs = BLOCKS

    def rows(self) -> list[Status]:
        """In order; those that are equal by age."""
        key = SORTS[self.sort]
        return sorted(self.heard.value.values(), key=key, reverse=self.reverse)


@dataclass(frozen=True)
class _Column:
    """``width`` cells; ``right`` ones are set to the right."""

    name: str
    width: int
    cell: Callable[[Board, Status], Text]
    right: bool = False


def _deadline_cell(_: Board, status: Status) -> Text:
    if status.get("state") in TERMINAL_STATES:
        met = status.get("deadline_met")
        return Text("–") if met is None else Text("met", style="green") if met else Text("missed", style="red")
    left = _left(status)
    if left == 1e300:
        return Text("–")
    return Text(format_duration(left), style="red" if left < 0 or status.get("feasible") is False else "")


def _chance_cell(_: Board, status: Status) -> Text:
    chance = _chance(status)
    return Text("–") if chance is None else Text(percent(chance), style=chance_style(chance))


def _replicas_cell(_: Board, status: Status) -> Text:
    pending = (status.get("replicas") or {}).get("pending")
    return Text(f"{_observed(status)}{f'+{pending}' if pending else ''}")


def _trend_cell(board: Board, status: Status) -> Text:
    values = list(board.rates.get(str(status["id"]), ()))
    return Text(sparkline(values, _TREND, board.glyphs), style="cyan")


_ID = _Column("id", 10, lambda _, status: Text(str(status["id"])))
_DEADLINE = _Column("left", 7, _deadline_cell, right=True)
_REPLICAS = _Column("repl", 5, _replicas_cell, right=True)
_OPTIONAL = (
    _Column("state", 10, lambda _, status: Text(str(status["state"]), style=state_style(str(status["state"])))),
    _Column("eta", 7, lambda _, status: Text(duration(status.get("eta"))), right=True),
    _Column("chance", 6, _chance_cell, right=True),
    _Column("rate", 7, lambda _, status: Text(f"{status.get('throughput') or 0.0:.3g}/s"), right=True),
    _Column("name", 18, lambda _, status: Text(printable(status.get("name") or ""))),
    _Column("items", 15, lambda _, status: Text(settled(status)), right=True),
    _Column("dead", 5, lambda _, status: Text(str((status.get("counts") or {}).get("dead") or 0)), right=True),
    _Column("trend", _TREND, _trend_cell),
    _Column("law", 9, lambda _, status: Text(str(status.get("law") or ""))),
)
"""In the order in which room is given to them."""
_ORDER = ("id", "name", "state", "progress", "left", "eta", "chance", "repl", "rate", "trend", "items", "dead", "law")


def lines(board: Board, width: int, height: int | None = None, now: str = "", hint: str = "") -> list[Text]:
    """The lines, none wider than ``width``, at most ``height`` of them (None: all)."""
    rows = board.rows()
    columns = _columns(width, bool(board.rates))
    head = [Text(_summary(board, now))]
    if board.heard.silent:
        head.append(Text(silence(board.heard), style="bold red"))
    head.append(_line([_cut(Text(column.name, style="bold"), column) for column in columns]))
    foot = [Text(hint, style="dim")] if hint else []
    room = len(rows) if height is None else max(0, height - len(head) - len(foot))
    shown = rows[:room]
    if len(shown) < len(rows) and room:
        shown = rows[: room - 1]
        foot.insert(0, Text(f"... and {len(rows) - len(shown)} more", style="dim"))
    body = [_line([_cut(column.cell(board, status), column) for column in columns]) for status in shown]
    if not rows:
        body = [Text("nothing runs: 'asperathos submit FILE' hands in work")]
    told_lines = [*head, *body, *foot]
    for line in told_lines:
        line.no_wrap = True
        line.truncate(width)
    return told_lines if height is None else told_lines[:height]


def _columns(width: int, trends: bool) -> list[_Column]:
    fixed = [_ID, _DEADLINE, _REPLICAS]
    left = width - sum(column.width + _GAP for column in fixed) - _LEAST_BAR - _PERCENT
    chosen = list(fixed)
    for column in _OPTIONAL:
        if column.name == "trend" and not trends:
            continue
        if left < column.width + _GAP:
            break
        left -= column.width + _GAP
        chosen.append(column)
    bar_width = max(0, min(_MOST_BAR, _LEAST_BAR + left))
    chosen.append(_Column("progress", bar_width + _PERCENT, lambda board, status: _progress(board, status, bar_width)))
    return sorted(chosen, key=lambda column: _ORDER.index(column.name))


def _progress(board: Board, status: Status, width: int) -> Text:
    used = status.get("time_progress") if status.get("deadline") else None
    drawn = bar(status.get("progress") or 0.0, width, used, board.glyphs)
    return Text(f"{drawn}{percent(status.get('progress')):>{_PERCENT}}")


def _cut(text: Text, column: _Column) -> Text:
    text.truncate(column.width)
    text.align("right" if column.right else "left", column.width)
    return text


def _line(cells: Sequence[Text]) -> Text:
    return Text(" " * _GAP).join(cells)


def _summary(board: Board, now: str) -> str:
    rows = board.heard.value.values()
    running = sum(status.get("state") == "ongoing" for status in rows)
    ended = sum(status.get("state") in TERMINAL_STATES for status in rows)
    waiting = len(board.heard.value) - running - ended
    parts = [now, f"{running} running", f"{waiting} waiting" if waiting else "", f"{ended} ended" if ended else ""]
    parts += [f"{sum(map(_observed, rows))} replicas", f"by {board.sort}{' reversed' if board.reverse else ''}"]
    return "  ".join(part for part in parts if part)
