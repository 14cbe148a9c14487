"""Metric points as columns for charts: aligned, bounded in number. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from statistics import fmean

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
    "wait": metrics.QUEUE_WAIT,
}
"""The series a submission's page draws, by the names the page knows them by."""
MOST_POINTS = 1200
SPARK = 24
"""Points of a sparkline."""

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


def spark(points: Sequence[Point], field: str, most: int = SPARK) -> list[float]:
    """The points' values of one field as at most ``most`` means over equally many points each."""
    values = [value for point in points if (value := point.fields.get(field)) is not None]
    count = min(most, len(values))
    edges = [len(values) * number // count for number in range(count + 1)] if count else []
    return [float(f"{fmean(values[start:end]):.4g}") for start, end in pairwise(edges)]


def reach(tables: Mapping[str, Columns]) -> dict[str, float]:
    """The moment each series with points reaches. They differ: a monitor may write between two reads."""
    return {name: table["at"][-1] for name, table in tables.items() if table["at"] and table["at"][-1] is not None}
