"""A self-contained HTML page of a simulation: the table, and for one run of each law how it went. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

from common.svg import STYLE, Chart, Point, Series, draw
from simulator.outlook import Outlook
from simulator.run import Run
from simulator.table import rows

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<title>{title}</title><style>
:root{{color-scheme:light dark}}
body{{font:15px/1.5 system-ui,sans-serif;max-width:860px;margin:2rem auto;padding:0 1rem}}
table{{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}}
th,td{{padding:.25rem .6rem .25rem 0;text-align:right;border-bottom:1px solid #8884}}
th:nth-child(-n+2),td:nth-child(-n+2){{text-align:left}}
th,td{{white-space:nowrap}}
h2{{margin-top:2.2rem}}.told{{opacity:.8}}
{style}</style></head><body>
<h1>{title}</h1><p class="told">{told}</p>
<div style="overflow-x:auto"><table><thead><tr>{heading}</tr></thead><tbody>{rows}</tbody></table></div>
{sections}
</body></html>
"""


@dataclass(frozen=True)
class Shown:
    """One law's outlook and the run that is drawn."""

    outlook: Outlook
    run: Run


def page(title: str, told: str, shown: Sequence[Shown]) -> str:
    """The page's text."""
    headings, lines = rows([one.outlook for one in shown])
    heading = "".join(f"<th>{escape(name)}</th>" for name in headings)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in line) + "</tr>" for line in lines)
    longest = max((_end(one.run) for one in shown), default=1.0)
    sections = "".join(
        f"<h2>{escape(one.outlook.name)}: {escape(one.outlook.law)}</h2>{''.join(_charts(one.run, longest))}"
        for one in shown
    )
    return _PAGE.format(
        title=escape(title), told=escape(told), style=STYLE, heading=heading, rows=body, sections=sections
    )


def _charts(run: Run, longest: float) -> Iterator[str]:
    across = (0.0, longest)
    marks = [] if run.deadline is None else [(run.deadline, "deadline")]
    if run.deadline is None or run.latencies:
        yield draw(_backlog(run, across))
    else:
        progress = [(seen.elapsed, 100.0 * seen.progress) for seen in run.observations]
        if run.finished is not None:
            progress.append((run.finished, 100.0))
        series = [
            Series("progress", progress),
            Series("time used up", [(0, 0), (run.deadline, 100)], colour=7, dashed=True),
        ]
        yield draw(Chart("Progress (%)", series, "time", marks=marks, x_range=across, y_range=(0, 100), x_is_time=True))
    paid: list[Point] = [*run.steps, (run.ended, run.steps[-1][1])]
    begun = run.observations[0].at - run.observations[0].elapsed if run.observations else 0.0
    wanted = [(decision.at - begun, float(decision.granted)) for decision in run.decisions]
    series = [
        Series("paid for", paid, "step", colour=1),
        Series("decided", wanted, "step", colour=0, dashed=True),
    ]
    yield draw(Chart("Replicas", series, "time", marks=marks, x_range=across, x_is_time=True))
    if any(foreseen.p50 is not None for _, foreseen in run.forecasts):
        yield draw(_forecast(run, across))


def _backlog(run: Run, across: Point) -> Chart:
    waiting = [(seen.elapsed, float(seen.counts.ready + seen.counts.delayed)) for seen in run.observations]
    return Chart("Items waiting", [Series("waiting", waiting)], "time", x_range=across, x_is_time=True)


def _forecast(run: Run, across: Point) -> Chart:
    begun = run.observations[0].at - run.observations[0].elapsed if run.observations else 0.0
    told = [(made.at - begun, made) for _, made in run.forecasts if made.p50 is not None]
    series = []
    banded = [(at, made.p10, made.p90) for at, made in told if made.p10 is not None and made.p90 is not None]
    if banded:
        low = [(at, bottom) for at, bottom, _ in banded]
        series.append(Series("p10 to p90", low, "band", high=[top for _, _, top in banded]))
    series.append(Series("p50", [(at, made.p50 or 0.0) for at, made in told]))
    if run.finished is not None:
        series.append(Series("finished", [(0.0, run.finished), (run.finished, run.finished)], colour=2, dashed=True))
    if run.deadline is not None:
        series.append(Series("deadline", [(0.0, run.deadline), (across[1], run.deadline)], colour=6, dashed=True))
    return Chart(
        "Forecast of the finish",
        series,
        "time at which it was made",
        x_range=across,
        x_is_time=True,
        y_is_time=True,
    )


def _end(run: Run) -> float:
    return max(run.ended, run.deadline or 0.0)
