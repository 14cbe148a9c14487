"""Charts as SVG text, without a library: lines, steps, bands, points and marks over two axes. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Literal

from common.domain.units import format_duration

Point = tuple[float, float]
_WIDTH, _HEIGHT = 720.0, 220.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 56.0, 16.0, 28.0, 34.0
_TICKS = 6
_LETTER, _LINE = 6.6, 12.0
"""Width of a letter and height of a line, about."""
_Label = tuple[float, float, float]
"""Left end, right end and base line of a label."""
_ROUND_TIMES = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400)

_LIGHT = ("#0b62a4", "#c2410c", "#15803d", "#7e22ce", "#a16207", "#0f766e", "#be123c", "#4b5563")
_DARK = ("#6cb2eb", "#fb923c", "#4ade80", "#c084fc", "#facc15", "#2dd4bf", "#fb7185", "#9ca3af")


def _colours(colours: Sequence[str]) -> str:
    # Spelt out: not every reader of SVG knows CSS variables.
    return "".join(
        f"svg .line.c{place}{{stroke:{colour}}}svg .band.c{place},svg .point.c{place}{{fill:{colour}}}"
        for place, colour in enumerate(colours)
    )


STYLE = (
    "svg{font:12px system-ui,sans-serif;max-width:100%;height:auto}svg text{fill:#333}svg .grid{stroke:#ddd}"
    "svg .axis{stroke:#888}svg .line{fill:none;stroke-width:1.8}svg .band{opacity:.18}svg .dashed{stroke-dasharray:5 4}"
    "svg .mark{stroke:#b91c1c;stroke-dasharray:4 3}"
    f"{_colours(_LIGHT)}"
    "@media screen and (prefers-color-scheme:dark){svg text{fill:#ddd}svg .grid{stroke:#3a3a3a}"
    "svg .mark{stroke:#fb7185}"
    f"{_colours(_DARK)}}}"
)
"""Of every chart; light or dark as the reader's system is."""


@dataclass(frozen=True)
class Series:
    """Points in order of x. ``band`` has pairs of low and high; ``colour`` is one of eight (0 to 7)."""

    label: str
    points: Sequence[Point]
    shape: Literal["line", "step", "points", "band"] = "line"
    colour: int = 0
    dashed: bool = False
    high: Sequence[float] = ()
    """Of a band: its upper edge at each point; the points are its lower one."""
    labels: Sequence[str] = ()
    """Of points: a word beside each."""


@dataclass(frozen=True)
class Chart:
    """``marks`` are vertical lines: (x, label)."""

    title: str
    series: Sequence[Series]
    x_label: str = ""
    marks: Sequence[tuple[float, str]] = ()
    x_range: Point | None = None
    y_range: Point | None = None
    x_is_time: bool = False
    y_is_time: bool = False
    """Seconds, shown as durations."""
    x_text: Callable[[float], str] = field(default=lambda value: f"{value:g}")
    height: float = _HEIGHT


def draw(chart: Chart, style: bool = False) -> str:
    """The chart as an <svg> element; with ``style`` it brings its colours along, to stand alone."""
    x_low, x_high = _range(chart.x_range, _all_x(chart))
    y_low, y_high = _range(chart.y_range, _all_y(chart))
    right, bottom = _WIDTH - _RIGHT, chart.height - _BOTTOM

    def x(value: float) -> float:
        return _LEFT + (value - x_low) / (x_high - x_low) * (right - _LEFT)

    def y(value: float) -> float:
        clipped = min(max(value, y_low), y_high)
        return bottom - (clipped - y_low) / (y_high - y_low) * (bottom - _TOP)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH:g} {chart.height:g}" role="img" '
        f'aria-label="{escape(chart.title, quote=True)}">'
    ]
    if style:
        parts.append(f"<style>{STYLE}</style>")
    parts.append(f'<text x="{_LEFT:g}" y="16" font-weight="600">{escape(chart.title)}</text>')
    for tick in _ticks(y_low, y_high, chart.y_is_time):
        parts.append(f'<line class="grid" x1="{_LEFT:g}" x2="{right:g}" y1="{y(tick):.1f}" y2="{y(tick):.1f}"/>')
        label = escape(_time(tick) if chart.y_is_time else f"{tick:g}")
        parts.append(f'<text x="{_LEFT - 6:g}" y="{y(tick) + 4:.1f}" text-anchor="end">{label}</text>')
    for tick in _ticks(x_low, x_high, chart.x_is_time):
        label = escape(_time(tick) if chart.x_is_time else chart.x_text(tick))
        parts.append(f'<text x="{x(tick):.1f}" y="{bottom + 16:.1f}" text-anchor="middle">{label}</text>')
    parts.append(f'<line class="axis" x1="{_LEFT:g}" x2="{right:g}" y1="{bottom:g}" y2="{bottom:g}"/>')
    if chart.x_label:
        parts.append(f'<text x="{right:g}" y="{chart.height - 4:g}" text-anchor="end">{escape(chart.x_label)}</text>')
    for value, label in chart.marks:
        if x_low <= value <= x_high:
            parts.append(f'<line class="mark" x1="{x(value):.1f}" x2="{x(value):.1f}" y1="{_TOP:g}" y2="{bottom:g}"/>')
            anchor = "end" if x(value) > _WIDTH / 2 else "start"
            shift = -4 if anchor == "end" else 4
            parts.append(
                f'<text x="{x(value) + shift:.1f}" y="{bottom - 6:g}" text-anchor="{anchor}">{escape(label)}</text>'
            )
    taken: list[_Label] = []
    for series in chart.series:
        parts.extend(_shape(series, x, y, taken))
    parts.append(_legend(chart, right))
    return "".join([*parts, "</svg>"])


def _shape(
    series: Series, x: Callable[[float], float], y: Callable[[float], float], taken: list[_Label]
) -> Iterable[str]:
    if not series.points:
        return
    colour = f"c{series.colour % 8}"
    title = f"<title>{escape(series.label)}</title>"
    if series.shape == "points":
        for place, (at, value) in enumerate(series.points):
            yield f'<circle class="point {colour}" cx="{x(at):.1f}" cy="{y(value):.1f}" r="4">{title}</circle>'
            if place < len(series.labels):
                word, left = series.labels[place], x(at) + 7
                base = _free_line(left, left + _LETTER * len(word), y(value) + 4, taken)
                yield f'<text x="{left:.1f}" y="{base:.1f}">{escape(word)}</text>'
    elif series.shape == "band":
        low = [f"{x(at):.1f},{y(value):.1f}" for at, value in series.points]
        high = [f"{x(at):.1f},{y(top):.1f}" for (at, _), top in zip(series.points, series.high, strict=True)]
        yield f'<polygon class="band {colour}" points="{" ".join([*low, *reversed(high)])}">{title}</polygon>'
    else:
        points = _stepped(series.points) if series.shape == "step" else series.points
        path = " ".join(f"{x(at):.1f},{y(value):.1f}" for at, value in points)
        dashed = " dashed" if series.dashed else ""
        yield f'<polyline class="line {colour}{dashed}" points="{path}">{title}</polyline>'


def _free_line(left: float, right: float, base: float, taken: list[_Label]) -> float:
    """The base line for a label, moved down below those that it would cover."""
    while any(left < other[1] and other[0] < right and abs(base - other[2]) < _LINE for other in taken):
        base += 1.0
    taken.append((left, right, base))
    return base


def _stepped(points: Sequence[Point]) -> list[Point]:
    steps = [points[0]]
    for at, value in points[1:]:
        steps += [(at, steps[-1][1]), (at, value)]
    return steps


def _legend(chart: Chart, right: float) -> str:
    named = [series for series in chart.series if series.label and series.points and series.shape != "points"]
    if len(named) < 2:
        return ""
    parts = []
    at = right - sum(26.0 + _LETTER * len(series.label) for series in named)
    for series in named:
        colour = f"c{series.colour % 8}"
        dashed = " dashed" if series.dashed else ""
        if series.shape == "band":
            parts.append(f'<rect class="band {colour}" x="{at:.1f}" y="8" width="16" height="8"/>')
        else:
            parts.append(f'<line class="line {colour}{dashed}" x1="{at:.1f}" x2="{at + 16:.1f}" y1="12" y2="12"/>')
        parts.append(f'<text x="{at + 20:.1f}" y="16" font-size="11">{escape(series.label)}</text>')
        at += 26.0 + _LETTER * len(series.label)
    return "".join(parts)


def _all_x(chart: Chart) -> list[float]:
    return [at for series in chart.series for at, _ in series.points] + [at for at, _ in chart.marks]


def _all_y(chart: Chart) -> list[float]:
    return [value for series in chart.series for _, value in series.points] + [
        value for series in chart.series for value in series.high
    ]


def _range(given: Point | None, values: Sequence[float]) -> Point:
    low, high = given or (min([0.0, *values]), max([0.0, *values]))
    return (low, high) if high > low else (low, low + 1.0)


def _ticks(low: float, high: float, is_time: bool) -> list[float]:
    """Round numbers across the range."""
    rough = (high - low) / _TICKS
    times = (float(step) for step in _ROUND_TIMES if step >= rough)
    step = next(times, None) if is_time and rough > 0.5 else None
    if step is None:
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(power * factor for factor in (1.0, 2.0, 5.0, 10.0) if power * factor >= rough)
    first = math.ceil(low / step - 1e-9)
    return [step * number for number in range(first, math.floor(high / step + 1e-9) + 1)]


def _time(seconds: float) -> str:
    return format_duration(seconds).replace(" 00s", "").replace(" 00m", "") if seconds else "0"
