"""The table's two trade-offs as charts: deadlines met over replicas too many, and waits in time over what they cost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from benchmarks.control_parts.summary import Line
from common.svg import Chart, Series, draw

_OURS = {"deadline", "latency"}
_TOLD = {"nothing": "", "timeout": " + timeout", "history": " + history", "": ""}
_LEFT_OUT = {"keda-custom", "keda-accurate", "keda-eager", "fixed-10", "fixed-40"}
"""Those that lie on others, or beside every chart."""
_HEIGHT = 330.0


def charts(lines: Sequence[Line]) -> Iterator[tuple[str, str]]:
    """File names and SVG texts, for the families and settings that are there."""
    for family, across, up in (("bags", "excess", "met"), ("streams", "cost", "within")):
        settings = dict.fromkeys(line.setting for line in lines if line.family == family)
        for setting in settings:
            chosen = [line for line in lines if (line.family, line.setting) == (family, setting)]
            yield f"control-{family}-{setting}.svg", draw(_chart(family, setting, chosen, across, up), style=True)


def _chart(family: str, setting: str, lines: Sequence[Line], across: str, up: str) -> Chart:
    is_bags = family == "bags"
    factor = 100.0 if is_bags else 1.0
    series = []
    for line in lines:
        if line.contender in _LEFT_OUT:
            continue
        point = (factor * line.figures[across], 100.0 * line.figures[up])
        name = f"{line.contender}{_TOLD[line.known]}"
        series.append(Series(name, [point], "points", 0 if line.contender in _OURS else 7, labels=[name]))
    title = f"Deadlines met (%), {setting}" if is_bags else f"Waits within the target (%), {setting} arrivals"
    return Chart(
        f"{title}: the upper left is better",
        series,
        "replica-seconds spent above the clairvoyant's replicas (%)" if is_bags else "replica-seconds over work",
        x_range=(0.0, 100.0) if is_bags else (1.0, max(4.0, *(line.figures[across] for line in lines)) + 0.5),
        y_range=(0.0, 100.0) if is_bags else (min(80.0, *(100.0 * line.figures[up] for line in lines)), 100.0),
        height=_HEIGHT,
    )
