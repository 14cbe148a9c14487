"""Metric points as columns for charts: aligned, bounded in number. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from common.domain import metrics
from common.domain.metrics import Measurement, Point

SHOWN: Mapping[str, Measurement] = {
    "progress": metrics.JOB_PROGRESS,
    "time": metrics.TIME_PROGRESS,
    "error": metrics.PROGRESS_ERROR,
    "replicas": metrics.REPLICAS,
    "queue": metrics.QUEUE,
    "flow": metrics.FLOW,
    "service": metrics.SERVICE,
}
"""The series a submission's page draws, by the names the page knows them by."""
MOST_POINTS = 1200

Columns = dict[str, list[float | None]]
"""``at`` (Unix seconds) and each field, equally long; None where a point lacks the field."""


def columns(measurement: Measurement, points: Sequence[Point], most: int = MOST_POINTS) -> Columns:
    """The points as columns, thinned to at most ``most`` moments. The first and the last are always kept."""
    kept = thinned(points, most)
    table: Columns = {"at": [point.at for point in kept]}
    for name in measurement.fields:
        table[name] = [point.fields.get(name) for point in kept]
    return table


def thinned(points: Sequence[Point], most: int) -> Sequence[Point]:
    """Evenly spaced ``most`` of the points (at least 2), or all of them when there are no more."""
    if len(points) <= most:
        return points
    step = (len(points) - 1) / (most - 1)
    return [points[round(number * step)] for number in range(most)]


def reach(tables: Mapping[str, Columns]) -> dict[str, float]:
    """The moment each series with points reaches. They differ: a monitor may write between two reads."""
    return {name: table["at"][-1] for name, table in tables.items() if table["at"] and table["at"][-1] is not None}
