"""What ``asperathos watch`` draws: one submission, as wide as the terminal is. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from cli.polling import Heard, silence
from cli.render import (
    TERMINAL_STATES,
    Glyphs,
    bar,
    deadline_text,
    duration,
    percent,
    printable,
    settled,
    sparkline,
    state_style,
)
from common.domain.units import format_duration

Status = Mapping[str, Any]
_LABEL = 9
_WIDEST_BAR = 60
_WIDEST_TREND = 40
_MOST_KEPT = 400
_LIKELY = 0.9
_UNLIKELY = 0.5


class WatchView:
    """The latest status and the recent past; rich draws it anew whenever it wants, at the width of that moment."""

    def __init__(self, heard: Heard[dict[str, Any]], glyphs: Glyphs, past: Sequence[Mapping[str, Any]] = ()) -> None:
        """``past``: rows of the detailed report, from before it was looked at."""
        self._glyphs = glyphs
        self._replicas: deque[float] = deque((row.get("replicas") or 0.0 for row in past), _MOST_KEPT)
        self._rates: deque[float] = deque((row.get("throughput") or 0.0 for row in past), _MOST_KEPT)
        self._observed_at: float | None = None
        self.update(heard)

    def update(self, heard: Heard[dict[str, Any]]) -> None:
        """Another answer, or none."""
        self._heard = heard
        status = heard.value
        if status.get("observed_at") != self._observed_at and status.get("state") not in TERMINAL_STATES:
            self._observed_at = status.get("observed_at")
            self._replicas.append(float((status.get("replicas") or {}).get("observed") or 0))
            self._rates.append(float(status.get("throughput") or 0.0))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield from self.lines(options.max_width)

    def lines(self, width: int) -> Iterator[Text]:
        """The lines, none wider than ``width``."""
        for line in self._lines(width):
            line.no_wrap = True
            line.overflow = "crop"
            line.truncate(width)
            yield line

    def _lines(self, width: int) -> Iterator[Text]:
        status, glyphs = self._heard.value, self._glyphs
        ended = status["state"] in TERMINAL_STATES
        counts, replicas, forecast = (status.get(name) or {} for name in ("counts", "replicas", "forecast"))
        yield Text.assemble(
            (status["state"], state_style(status["state"])),
            "  ",
            (status["id"], "bold"),
            "  ",
            printable(status.get("name") or ""),
        )
        share = percent(status.get("progress"))
        room = min(_WIDEST_BAR, width - len(share) - 2)
        used = status.get("time_progress") if status.get("deadline") else None
        yield Text(f"{bar(status.get('progress') or 0.0, max(0, room), used, glyphs)}  {share}")
        dead = f", {counts['dead']} dead" if counts.get("dead") else ""
        yield _labelled("items", f"{settled(status)}{dead}, {counts.get('leased') or 0} in work")
        yield _labelled("deadline", self._deadline(status, forecast))
        if not ended:
            if status.get("eta") is not None:
                yield _labelled("ready in", duration(status["eta"]) + _spread(status, forecast))
            wanted = (forecast.get("replicas") or {}).get("wanted")
            told = f"{replicas.get('observed') or 0}"
            told += f" + {replicas['pending']} pending" if replicas.get("pending") else ""
            told += f", {wanted} wanted" if wanted is not None and wanted != replicas.get("observed") else ""
            yield self._trend("replicas", told, self._replicas, width)
            yield self._trend("rate", f"{status.get('throughput') or 0.0:.3g}/s", self._rates, width)
        because = (forecast.get("replicas") or {}).get("reason")
        if status.get("reason"):
            yield Text(printable(status["reason"]), style="yellow")
        elif because and not ended:
            yield _labelled("because", printable(because), "dim")
        if self._heard.silent:
            yield Text(silence(self._heard), style="bold red")

    def _deadline(self, status: Status, forecast: Mapping[str, Any]) -> Text:
        chance = None if status["state"] in TERMINAL_STATES else forecast.get("chance")
        text = Text(deadline_text(status))
        if status.get("deadline_met") is False or text.plain.endswith("over"):
            text.stylize("red")
        if chance is not None:
            text.append(f", chance {percent(chance)}", style=chance_style(chance))
        return text

    def _trend(self, label: str, told: str, values: Sequence[float], width: int) -> Text:
        line = _labelled(label, f"{told:<12}  ")
        room = min(_WIDEST_TREND, width - line.cell_len)
        line.append(sparkline(list(values), room, self._glyphs), style="cyan")
        return line


def chance_style(chance: float) -> str:
    """How to colour a probability."""
    return "green" if chance >= _LIKELY else "yellow" if chance >= _UNLIKELY else "red"


def _labelled(label: str, told: str | Text, style: str = "") -> Text:
    return Text.assemble((f"{label:<{_LABEL}}", "dim"), told if isinstance(told, Text) else (told, style))


def _spread(status: Status, forecast: Mapping[str, Any]) -> str:
    finish, elapsed = forecast.get("finish") or {}, status.get("elapsed") or 0.0
    low, high = finish.get("p10"), finish.get("p90")
    if low is None or high is None:
        return ""
    return f" ({format_duration(max(0.0, low - elapsed))} to {format_duration(max(0.0, high - elapsed))})"
