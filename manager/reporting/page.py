"""A report as one HTML page with its plots. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Literal

from markupsafe import Markup

from common.domain.progress import Decision
from common.domain.units import format_duration
from common.svg import Chart, Point, Series
from common.web_page import cards, charts, joined, page, section, table
from manager.reporting.economy import Row
from manager.reporting.report import Report, against_deadline, headline
from manager.reporting.spreads import Spread
from manager.reporting.text import figures, moment

_MOST_ROWS = 200
"""Of a table: a page is to be read. JSON and CSV have all that is kept."""
_MOST_ERROR = 4000
_REPLICAS = (("desired", "decided", 0, True), ("replicas", "running", 1, False), ("pending", "pending", 3, True))
_FLOW = (("throughput", "done", 0, False), ("arrival_rate", "put", 1, True))
_QUEUE = (("ready", "ready", 0, False), ("leased", "in work", 1, False), ("dead", "dead", 6, False))
_SERVICE = (("service_p50", "p50", 0, False), ("service_p95", "p95", 1, False))
_WAIT = (("wait_p50", "p50", 0, False), ("wait_p95", "p95", 1, False))
_COST = (("cost", "cost", 0, False),)
_Lines = Sequence[tuple[str, str, int, bool]]
"""Column, label, colour, dashed."""


def html(report: Report) -> str:
    """The page's text."""
    told = report.status
    head = Markup('<h1>{}</h1><p class="soft">{} · {} · law {}</p><p class="headline {}">{}</p>').format(
        report.title, report.id, told["kind"], told["law"], _tone(report), headline(report)
    )
    reason = Markup("<p>{}</p>").format(told["reason"]) if told.get("reason") else Markup("")
    parts = [
        head,
        reason,
        cards(_cards(report)),
        charts(_charts(report)),
        _distributions(report),
        _failures(report),
        _decisions(report.decisions),
        _story(report),
        section("All figures", table(("", ""), figures(report), text=1)),
        Markup("<details><summary>The specification</summary><pre>{}</pre></details>").format(
            json.dumps(report.spec, indent=2, ensure_ascii=False)
        ),
        _footer(report),
    ]
    return page(f"{report.title}: {told['state']} ({report.id})", joined(parts))


def _tone(report: Report) -> str:
    told = report.status
    if told["state"] in ("failed", "error") or told.get("deadline_met") is False:
        return "bad"
    return "good" if told["state"] == "completed" else "warn"


def _cards(report: Report) -> Iterator[tuple[str, str, str]]:
    told, counts, economy = report.status, report.status["counts"], report.economy
    total = counts["total"] if counts["total"] is not None else counts["done"] + counts["dead"]
    yield "items done", str(counts["done"]), f"of {total}" + (f", {counts['dead']} dead" if counts["dead"] else "")
    took = told.get("execution_time", told["elapsed"])
    yield "took", format_duration(took), f"from {moment(told['created_at'])}"
    if told["deadline"] is not None:
        yield "deadline", format_duration(told["deadline"]), against_deadline(told)
    yield "replica-hours", f"{economy.replica_seconds / 3600:.2f}", f"{economy.replica_seconds:.0f} replica-seconds"
    if economy.money is not None:
        yield "cost", f"{economy.money:.4g}", f"at {economy.price or 0:g} per replica-hour"
    if economy.over is not None:
        yield "over the needed", f"{economy.over:.2f} x", f"{economy.needed_replicas} replicas were needed"
    if told.get("peak_replicas"):
        yield "peak replicas", str(told["peak_replicas"]), f"{told['scalings']} scalings"
    if report.failures.failed_total:
        yield "failed attempts", str(report.failures.failed_total), ""
    for name, spread in (("item time", report.times.service), ("item wait", report.times.wait)):
        if spread is not None:
            yield (
                name,
                format_duration(spread.p50),
                f"p95 {format_duration(spread.p95)}, p99 {format_duration(spread.p99)}",
            )


def _charts(report: Report) -> Iterator[Chart]:
    rows = sorted((float(second), row) for second, row in report.rows.items())
    if not rows:
        return
    deadline = report.status["deadline"]
    marks = [] if deadline is None else [(float(deadline), "deadline")]
    across = (0.0, max(rows[-1][0], deadline or 0.0))
    progress = [Series("progress", _points(rows, "job_progress", 100.0))]
    if deadline is not None:
        progress.append(Series("time used up", [(0.0, 0.0), (float(deadline), 100.0)], colour=7, dashed=True))
    if report.status["kind"] == "batch":
        yield _chart("Progress (%)", progress, across, marks, y_range=(0.0, 100.0))
    lines = (
        _chart("Replicas", _lines(rows, _REPLICAS, "step"), across, marks),
        _chart("Items per second", _lines(rows, _FLOW), across, marks),
        _chart("Items in the queue", _lines(rows, _QUEUE), across, marks),
        _chart("Time of an item", _lines(rows, _SERVICE), across, marks, y_is_time=True),
        _chart("Wait of an item", _lines(rows, _WAIT), across, marks, y_is_time=True),
        _chart("Money an hour", _lines(rows, _COST, "step"), across, marks),
    )
    yield from (chart for chart in lines if chart.series)


def _chart(
    title: str,
    series: Sequence[Series],
    across: Point,
    marks: Sequence[tuple[float, str]],
    y_range: Point | None = None,
    y_is_time: bool = False,
) -> Chart:
    return Chart(title, series, "time", marks, across, y_range, x_is_time=True, y_is_time=y_is_time)


def _lines(
    rows: Sequence[tuple[float, Row]], lines: _Lines, shape: Literal["line", "step"] = "line"
) -> Sequence[Series]:
    """Of the columns that are ever other than zero."""
    drawn = (Series(label, _points(rows, column), shape, colour, dashed) for column, label, colour, dashed in lines)
    return [series for series in drawn if any(value for _, value in series.points)]


def _points(rows: Sequence[tuple[float, Row]], column: str, factor: float = 1.0) -> list[Point]:
    told = ((at, row.get(column)) for at, row in rows)
    return [(at, value * factor) for at, value in told if value is not None]


def _distributions(report: Report) -> Markup:
    times = report.times
    drawn = [
        _histogram(title, spread)
        for title, spread in (("How long items took", times.service), ("How long items waited", times.wait))
        if spread is not None and spread.longest > 0
    ]
    if not drawn:
        return Markup("")
    told = "" if times.sampled >= times.kept else f"Waits: of {times.sampled} of the {times.kept} items. "
    told += "The last bar has all beyond it, too."
    return section("Item times", charts(drawn), Markup('<p class="soft">{}</p>').format(told))


def _histogram(title: str, spread: Spread) -> Chart:
    low: list[Point] = []
    high: list[float] = []
    begin = 0.0
    for each in spread.bins:
        low += [(begin, 0.0), (each.until, 0.0)]
        high += [100.0 * each.share] * 2
        begin = each.until
    marks = [(value, name) for name, value in (("p50", spread.p50), ("p95", spread.p95)) if value <= begin]
    return Chart(f"{title} (% of the items)", [Series("share", low, "band", high=high)], marks=marks, x_is_time=True)


def _failures(report: Report) -> Markup:
    failures = report.failures
    parts: list[Markup] = []
    for name, found, total in (
        ("dead", failures.dead, failures.dead_total),
        ("failed, and tried again", failures.failed, failures.failed_total - failures.dead_total),
    ):
        if not found:
            continue
        shown = found[:_MOST_ROWS]
        rows = [(one.id, one.attempt, one.worker, moment(one.at) if one.at else "", _short(one.error)) for one in shown]
        heading = f"{name}: the latest {len(shown)}" + (f" of {total}" if total > len(shown) else "")
        parts.append(Markup("<p>{}</p>").format(heading))
        parts.append(table(("item", "attempt", "worker", "when", "error"), rows, numeric=(1,), text=4))
    return section("What failed", *parts) if parts else Markup("")


def _short(error: str) -> str:
    return error if len(error) <= _MOST_ERROR else error[:_MOST_ERROR] + " …"


def _decisions(decisions: Sequence[Decision]) -> Markup:
    changes = [one for one in decisions if one.granted != one.previous]
    if not changes:
        return Markup("")
    shown = changes[-_MOST_ROWS:]
    rows = [
        (moment(one.at), f"{one.previous} → {one.granted}", one.wanted, f"{one.progress:.0%}", one.observed, one.reason)
        for one in shown
    ]
    told = f"{len(decisions)} decisions, of which {len(changes)} changed something" + (
        f"; the latest {len(shown)}" if len(shown) < len(changes) else ""
    )
    return section(
        "Decisions",
        Markup('<p class="soft">{}.</p>').format(told),
        table(("when", "replicas", "wanted", "progress", "running", "because"), rows, numeric=(2, 3, 4), text=5),
    )


def _story(report: Report) -> Markup:
    shown = report.events[-_MOST_ROWS:]
    rows = [(moment(one.at), "warning" if one.warning else one.kind, one.message) for one in shown]
    warnings = [Markup('<p class="warn">{}</p>').format(warning) for warning in report.status.get("warnings", ())]
    return section("What happened", *warnings, table(("when", "what", ""), rows, text=2)) if rows else Markup("")


def _footer(report: Report) -> Markup:
    kept = "" if report.kept_until is None else f" What it is made from is kept until {moment(report.kept_until)}."
    so_far = "" if report.complete else " It still runs: this is what there is so far."
    return Markup("<footer>Made by Asperathos, {}.{}{}</footer>").format(moment(report.made_at), kept, so_far)
