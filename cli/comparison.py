"""Several submissions side by side: figures from their reports, as lines, JSON and a page. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from cli.render import deadline_text, duration, percent
from common.domain.units import format_duration
from common.svg import Chart, Series
from common.web_page import charts, joined, page, section, table

Report = Mapping[str, Any]
"""What GET /submissions/:id/report?format=json&detailed=true answers."""
_GAP = 2


@dataclass(frozen=True)
class Figure:
    """One thing to compare: its name, its value in a report (None: not known) and how that is written. ``less`` tells
    which is better, None that neither is."""

    name: str
    value: Callable[[Report], Any]
    text: Callable[[Any], str]
    less: bool | None = None

    @property
    def key(self) -> str:
        """Its name in JSON."""
        return self.name.replace(" ", "_").replace("-", "_")


def _part(*path: str) -> Callable[[Report], Any]:
    def value(report: Report) -> Any:
        found: Any = report
        for name in path:
            found = found.get(name) if isinstance(found, Mapping) else None
        return found

    return value


def _took(report: Report) -> Any:
    told = report.get("execution_time")
    return report.get("elapsed") if told is None else told


def _hours(report: Report) -> float | None:
    seconds = _part("economy", "replica_seconds")(report)
    return None if seconds is None else seconds / 3600.0


def _number(value: float) -> str:
    return f"{value:.4g}"


FIGURES: tuple[Figure, ...] = (
    Figure("name", _part("name"), str),
    Figure("state", _part("state"), str),
    Figure("law", _part("law"), str),
    Figure("deadline", _part("deadline"), duration),
    Figure("met", _part("deadline_met"), lambda met: "yes" if met else "no", less=False),
    Figure("margin", _part("deadline_margin"), format_duration),
    Figure("took", _took, duration, less=True),
    Figure("items done", _part("counts", "done"), str),
    Figure("items dead", _part("counts", "dead"), str, less=True),
    Figure("failed attempts", _part("failures", "failed_attempts"), str, less=True),
    Figure("replica-hours", _hours, _number, less=True),
    Figure("cost", _part("economy", "money"), _number, less=True),
    Figure("over the needed", _part("economy", "over"), lambda value: f"{value:.2f} x", less=True),
    Figure("excess", _part("economy", "excess"), percent, less=True),
    Figure("peak replicas", _part("peak_replicas"), str, less=True),
    Figure("scalings", _part("scalings"), str, less=True),
    *(
        Figure(f"{title} {name}", _part(kind, name), duration, less=True)
        for title, kind in (("item", "service_time"), ("wait", "queue_wait"))
        for name in ("p50", "p95", "p99")
    ),
)


@dataclass(frozen=True)
class Cell:
    """A value as text; ``best``: none of those that have ended is better, and one of them is worse."""

    text: str
    best: bool = False


def compared(reports: Sequence[Report]) -> list[tuple[str, list[Cell]]]:
    """Rows of a name and a cell for each report; what none of them knows is left out."""
    rows = ((figure, [(report, figure.value(report)) for report in reports]) for figure in FIGURES)
    return [(figure.name, _cells(figure, told)) for figure, told in rows if any(value is not None for _, value in told)]


def _cells(figure: Figure, told: Sequence[tuple[Report, Any]]) -> list[Cell]:
    best = _best(figure, [value for report, value in told if report.get("complete")])
    return [
        Cell("–") if value is None else Cell(figure.text(value), value == best and bool(report.get("complete")))
        for report, value in told
    ]


def _best(figure: Figure, values: Sequence[Any]) -> Any:
    known = [value for value in values if value is not None]
    if figure.less is None or len(set(known)) < 2:
        return None
    return min(known) if figure.less else max(known)


def document(reports: Sequence[Report]) -> dict[str, Any]:
    """The figures by submission and name, as numbers."""
    return {
        "submissions": {
            str(report["id"]): {figure.key: figure.value(report) for figure in FIGURES} for report in reports
        }
    }


def lines(reports: Sequence[Report], width: int | None) -> list[list[tuple[str, bool]]]:
    """The comparison as lines of pieces of text, each with whether it is the best of its row.

    One table if ``width`` has room for it (None: any), else one submission after the other.
    """
    rows = [("", [Cell(str(report["id"])) for report in reports]), *compared(reports)]
    first = max(len(name) for name, _ in rows)
    widths = [max(len(cells[place].text) for _, cells in rows) for place in range(len(reports))]
    if width is None or first + sum(widths) + _GAP * len(widths) <= width:
        return [
            [(name.ljust(first), False)]
            + [(" " * _GAP + cell.text.rjust(room), cell.best) for cell, room in zip(cells, widths, strict=True)]
            for name, cells in rows
        ]
    told: list[list[tuple[str, bool]]] = []
    for place, report in enumerate(reports):
        told += [[(str(report["id"]), False)]]
        told += [
            [(f"  {name.ljust(first)}  ", False), (cells[place].text, cells[place].best)] for name, cells in rows[1:]
        ]
    return told


def html(reports: Sequence[Report]) -> str:
    """The comparison as a page of its own."""
    ids = [str(report["id"]) for report in reports]
    best = Markup('<strong class="good">{}</strong>')
    rows = [
        (name, *(best.format(cell.text) if cell.best else cell.text for cell in cells))
        for name, cells in compared(reports)
    ]
    title = f"Comparison of {len(reports)} submissions"
    body = [
        Markup("<h1>{}</h1>").format(title),
        Markup('<p class="soft">{}</p>').format(
            "; ".join(f"{report['id']}: {_standing(report)}" for report in reports)
        ),
        table(("", *ids), rows, numeric=range(1, len(ids) + 1)),
        section(
            "Over time",
            charts(
                [
                    _overlaid("Progress (%)", reports, "job_progress", 100.0),
                    _overlaid("Replicas running", reports, "replicas"),
                    _overlaid("Items per second", reports, "throughput"),
                ]
            ),
        ),
        Markup("<footer>Made by Asperathos. Time counts from each submission's acceptance.</footer>"),
    ]
    return page(title, joined(body))


def _standing(report: Report) -> str:
    return f"{report.get('state')}, {deadline_text(report)}"


def _overlaid(title: str, reports: Sequence[Report], column: str, factor: float = 1.0) -> Chart:
    series = []
    for place, report in enumerate(reports):
        rows = sorted((float(second), row.get(column)) for second, row in report.get("series", {}).items())
        points = [(at, value * factor) for at, value in rows if value is not None]
        series.append(
            Series(str(report["id"]), points, "step" if column == "replicas" else "line", place % 8, place >= 8)
        )
    return Chart(title, series, "time", x_is_time=True)
